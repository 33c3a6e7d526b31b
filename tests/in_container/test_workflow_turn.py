"""One Spec Kit command with any agent; the integration's files are in the repository only during the turn."""

from pathlib import Path

import pytest

from moonmind_appliance.in_container.workflow_turn import Installed, files_of, login_variables

SPECIFY = """#!/bin/sh
mkdir -p .claude/commands .specify
echo command > .claude/commands/plan.md
echo changed > .specify/integration.json
exit ${SPECIFY_EXIT:-0}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository, and a `specify` that installs an integration."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/specify").write_text(SPECIFY)
    (tmp_path / "bin/specify").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "repo/.specify").mkdir(parents=True)
    (tmp_path / "repo/.specify/integration.json").write_text("before")
    (tmp_path / "repo/.git").mkdir()
    (tmp_path / "repo/.git/index").write_text("x")
    return tmp_path / "repo"


def names(repository: Path) -> set[str]:
    return {str(path.relative_to(repository)) for path in files_of(repository)}


def test_the_integration_is_removed_and_changed_files_are_restored(repository: Path, tmp_path: Path) -> None:
    """Files that the agent wrote stay, also beside the integration's."""
    with Installed(repository, "claude", tmp_path / "record.json") as installed:
        assert installed.problem == ""
        assert ".claude/commands/plan.md" in names(repository)
        (repository / ".claude/notes.md").write_text("agent")
        (repository / ".specify/workflows/runs/1").mkdir(parents=True)
    assert names(repository) == {".specify/integration.json", ".claude/notes.md"}
    assert (repository / ".specify/integration.json").read_text() == "before"
    assert not (repository / ".claude/commands").exists()
    assert not (repository / ".specify/workflows/runs").exists()


def test_files_of_an_interrupted_turn_are_removed_by_the_next_one(repository: Path, tmp_path: Path) -> None:
    """The record lists them."""
    Installed(repository, "claude", tmp_path / "record.json").__enter__()
    with Installed(repository, "claude", tmp_path / "record.json"):
        pass
    assert ".claude/commands/plan.md" not in names(repository)


def test_an_installation_that_fails_is_a_problem(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Spec Kit's own message; its files are removed all the same."""
    (tmp_path / "bin/specify").write_text("#!/bin/sh\necho half > half\necho 'no such integration' >&2\nexit 1\n")
    with Installed(repository, "claude", tmp_path / "record.json") as installed:
        assert installed.problem == "no such integration"
    assert names(repository) == {".specify/integration.json"}


def test_a_login_is_lines_of_variables() -> None:
    """Other lines, names that are none, and empty values are ignored."""
    stored = "# mine\nA = 1\nB=x=y\nno-name=2\nEMPTY=\nnonsense\n"
    assert login_variables(stored) == {"A": "1", "B": "x=y"}
