import subprocess
from pathlib import Path

import pytest

from moonmind_appliance.rehearsal.openai import Scenario
from moonmind_appliance.rehearsal.openai.model import attacks


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@rehearsal.example")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A worktree with everything planted, and a submodule's path; a private clone of it lies beside."""
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


def test_planting_runs_nothing_and_says_where_it_was(planted: Path) -> None:
    """So that whatever ran was run by somebody else."""
    assert _ran(planted) == set()
    assert len(list(planted.parent.glob("planted-on-*"))) == 1


def test_a_careless_git_runs_what_was_planted(planted: Path) -> None:
    """The scenario has teeth: the repository's own configuration is obeyed."""
    _git(planted, "status")
    assert "fsmonitor" in _ran(planted)


def test_a_private_git_folder_alone_does_not_help(planted: Path) -> None:
    """Git looks into a nested repository with that one's configuration, whatever the outer one says."""
    private = planted.parent.parent / "private.git"
    _git(planted, "--git-dir", str(private), "--work-tree", ".", "-c", "core.hooksPath=/dev/null", "read-tree", "HEAD")
    _git(planted, "--git-dir", str(private), "--work-tree", ".", "-c", "core.hooksPath=/dev/null", "status")
    assert "fsmonitor" in _ran(planted)


def test_links_lead_out_and_the_remote_is_changed(planted: Path) -> None:
    """A link to a file, to a folder and to the login; pushes would go to somebody else."""
    assert {path.name for path in (planted / "specs").iterdir() if path.is_symlink()} == {
        "outside-file",
        "outside-folder",
        "outside-login",
    }
    assert _git(planted, "config", "remote.origin.pushurl").strip() == "https://stolen.invalid/steal.git"


def test_nested_repositories_lie_untracked_and_at_the_submodule(planted: Path) -> None:
    """Both have programs of their own."""
    for nested in ("nested-repository", "submodule"):
        assert (planted / nested / ".git" / "evil" / "fsmonitor").exists()


def test_planting_twice_is_safe(planted: Path) -> None:
    """A scenario holds for all phases."""
    subprocess.run(["bash", "-c", attacks.plant("specs")], cwd=planted, check=True, capture_output=True)


def test_a_secret_in_a_file_looks_like_a_github_token() -> None:
    """The shape that secret scanners know."""
    secret = Scenario().secret
    assert (secret[:4], len(secret)) == ("ghp_", 40)
    assert secret in attacks.notes(secret)
