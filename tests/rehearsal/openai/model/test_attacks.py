import subprocess
from pathlib import Path

import pytest

from moonmind_appliance.rehearsal.openai import ScriptedResponse
from moonmind_appliance.rehearsal.openai.model import attacks
from moonmind_appliance.secret_rules import find_tokens


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@rehearsal.example")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A worktree with planted programs and a submodule's path, beside a private clone of it."""
    repository = tmp_path / "run" / "repo"
    repository.mkdir(parents=True)
    _git(repository, "init", "-q", "-b", "main")
    (repository / "specs").mkdir()
    (repository / "specs" / "read.me").write_text("text\n")
    _git(repository, "add", "-A")
    _git(repository, "commit", "-qm", "base")
    head = _git(repository, "rev-parse", "HEAD").strip()
    _git(repository, "update-index", "--add", "--cacheinfo", f"160000,{head},submodule")
    _git(repository, "commit", "-qm", "submodule")
    _git(tmp_path, "clone", "-q", "--bare", str(repository), "private.git")
    subprocess.run(["bash", "-c", attacks.plant("specs")], cwd=repository, check=True, capture_output=True)
    return repository


def _ran(repository: Path) -> set[str]:
    return {path.name.removeprefix("ran-").rsplit("-on-", 1)[0] for path in repository.parent.glob("ran-*")}


def test_planting_runs_nothing_and_records_its_host(planted: Path) -> None:
    """A program that ran was run by another process."""
    assert _ran(planted) == set()
    assert len(list(planted.parent.glob("planted-on-*"))) == 1


def test_git_without_protection_runs_the_planted_programs(planted: Path) -> None:
    """The attack is effective: git follows the repository's own configuration."""
    _git(planted, "status")
    assert "fsmonitor" in _ran(planted)


def test_a_private_git_folder_alone_is_no_protection(planted: Path) -> None:
    """Git reads a nested repository with its configuration, regardless of the outer one's."""
    private = planted.parent.parent / "private.git"
    _git(planted, "--git-dir", str(private), "--work-tree", ".", "-c", "core.hooksPath=/dev/null", "read-tree", "HEAD")
    _git(planted, "--git-dir", str(private), "--work-tree", ".", "-c", "core.hooksPath=/dev/null", "status")
    assert "fsmonitor" in _ran(planted)


def test_links_point_outside_and_the_remote_is_changed(planted: Path) -> None:
    """Links to a file, a folder and the login; pushes would go to the attacker."""
    assert {path.name for path in (planted / "specs").iterdir() if path.is_symlink()} == {
        "outside-file",
        "outside-folder",
        "outside-login",
    }
    assert _git(planted, "config", "remote.origin.pushurl").strip() == "https://stolen.invalid/steal.git"


def test_nested_repositories_are_planted_untracked_and_at_the_submodule(planted: Path) -> None:
    """Both have their own programs."""
    for nested in ("nested-repository", "submodule"):
        assert (planted / nested / ".git" / "evil" / "fsmonitor").exists()


def test_planting_twice_is_safe(planted: Path) -> None:
    """The response applies to each phase."""
    subprocess.run(["bash", "-c", attacks.plant("specs")], cwd=planted, check=True, capture_output=True)


def test_a_secret_in_a_file_looks_like_a_github_token() -> None:
    """It has the checksum by which the commit's search recognizes one."""
    secret = ScriptedResponse().secret
    assert [span.kind for span in find_tokens(secret.encode())] == ["GitHub token"]
    assert secret in attacks.file_with_secret(secret)
