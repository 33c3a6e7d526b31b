"""The facts are collected from real files, a real database and real repositories."""

import hashlib
import subprocess

from tests.faults.collect import artifact_rows, files_of, open_to_read, secrets_in_files, secrets_in_git

SECRET = "ghp_" + "Planted0" * 4


def test_a_secret_in_a_file_is_found(tmp_path) -> None:
    """In a binary file of a subfolder, by its name; a file without it is not reported."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "log").write_bytes(b"\x00\xff" + SECRET.encode() + b"\x00")
    (tmp_path / "other").write_text("ghp_Planted", encoding="utf-8")
    assert secrets_in_files([tmp_path], {"the token": SECRET}) == [f"the token in {tmp_path / 'sub' / 'log'}"]
    assert secrets_in_files([tmp_path / "other"], {"the token": SECRET}) == []


def test_a_secret_in_a_commit_is_found(tmp_path) -> None:
    """Although Git compresses its objects, and although no branch contains the commit any more."""

    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.invalid", *arguments],
            check=True,
            capture_output=True,
        )

    git("init", "--quiet")
    (tmp_path / "file").write_text(f"token: {SECRET}\n", encoding="utf-8")
    git("add", "file")
    git("commit", "--quiet", "--message", "first")
    git("checkout", "--quiet", "--orphan", "other")
    git("rm", "--quiet", "-r", "--cached", ".")
    git("commit", "--quiet", "--allow-empty", "--message", "other")
    assert secrets_in_git([tmp_path], {"the token": SECRET}) == [f"the token in the repository {tmp_path.name}"]
    assert secrets_in_git([tmp_path], {"another": "ghp_Other"}) == []


def test_files_are_measured_as_they_are(appliance) -> None:
    """The size and SHA-256 of each artifact's file; other files are listed by name."""
    run = appliance.run()
    data_dir = appliance.resources.settings.moonmind_data_dir
    files, others = files_of(data_dir)
    with open_to_read(data_dir) as connection:
        rows = artifact_rows(connection, run.run_id)
    assert rows
    assert {row.path: (row.size, row.sha256) for row in rows} == {path: tuple(file) for path, file in files.items()}
    assert "appliance.db" in others
    first = data_dir / rows[0].path
    first.write_bytes(b"changed")
    changed, _ = files_of(data_dir, run.run_id)
    assert changed[rows[0].path] == (7, hashlib.sha256(b"changed").hexdigest())
