"""The operator's folder or Git repository is copied to the stand-in, or the error names what is wrong with it."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from moonmind_appliance.rehearsal.environment import SLUG
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.rehearsal.prepare import (
    Progress,
    ProgressReport,
    RehearsalFailed,
    RehearsalOptions,
    RehearsalStopped,
    prepare,
)
from moonmind_appliance.rehearsal.scenarios import SCENARIOS
from tests.github.stand_in import git


class Hosting:
    """An environment with a stand-in GitHub that does not listen, and an engine that has every image."""

    def __init__(self, folder: Path) -> None:
        self.github = StandInGitHub(("127.0.0.1", 0), folder)
        self.openai = SimpleNamespace(respond_with=lambda *_, **__: None)
        self.engine = SimpleNamespace(image=lambda name: name)
        self.settings = SimpleNamespace(spec_automation_job_image="moonmind/job:latest")
        self.keep = False

    def host(
        self, repository: Path, scenario: str = "normal", stopped: Callable[[], bool] = lambda: False
    ) -> list[str]:
        """The files of the hosted repository's main branch."""
        here: Any = self
        options = RehearsalOptions(repository=repository, scenario=scenario)
        prepare(here, SCENARIOS[scenario], options, ProgressReport(lambda _: None, stopped))
        listed = git("ls-tree", "-rz", "--name-only", "main", folder=self.github.git_folder(SLUG))
        return listed.split("\0")[:-1]


@pytest.fixture
def hosting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosting:
    """The current folder is a new one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Hosting(tmp_path / "github")


def make_repository(path: str, *options: str, commit: bool = True) -> Path:
    """A Git repository with one empty commit on the branch `trunk`."""
    git("init", "-q", "-b", "trunk", *options, path, folder=Path())
    if commit:
        author = ("-c", "user.name=A", "-c", "user.email=a@example.invalid")
        subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "1"], cwd=path, check=True)
    return Path(path)


@pytest.mark.parametrize("name", ["plain", "plain/", "./plain", "two words", "Maß", "-dash"])
def test_a_relative_folder_is_copied(hosting: Hosting, name: str) -> None:
    """Git runs in another folder, so a relative path must be resolved first."""
    folder = Path(name)
    folder.mkdir()
    (folder / "größe 1.txt").write_text("1")
    assert hosting.host(folder) == ["größe 1.txt"]


def test_a_link_to_a_folder_is_followed_and_links_in_it_are_kept(hosting: Hosting) -> None:
    """Also links without a target; other special files are left out."""
    Path("plain").mkdir()
    Path("plain/dangling").symlink_to("/nonexistent")
    Path("link").symlink_to("plain")
    assert hosting.host(Path("link")) == ["dangling"]


@pytest.mark.parametrize("ignored", [False, True])
def test_a_folder_without_files_to_commit_gives_an_empty_commit(hosting: Hosting, ignored: bool) -> None:  # noqa: FBT001 - a parameter
    """An empty folder, or one in which everything is ignored."""
    Path("empty").mkdir()
    if ignored:
        Path("empty/.gitignore").write_text("*\n")
    assert hosting.host(Path("empty")) == []


def test_repositories_keep_their_branches(hosting: Hosting) -> None:
    """A relative path to a repository with a work tree; `main` is created at its current branch."""
    make_repository("repository")
    hosting.host(Path("repository"))
    assert hosting.github.branches(SLUG) == {"main", "trunk"}


def test_a_bare_repository_is_copied(hosting: Hosting) -> None:
    """Also for a scenario that adds files."""
    make_repository("repository")
    git("clone", "-q", "--bare", "repository", "bare", folder=Path())
    assert "spec.md" in {name.rpartition("/")[2] for name in hosting.host(Path("bare"), "no-changes")}
    assert hosting.github.branches(SLUG) == {"main", "trunk"}


def test_a_scenarios_files_are_added_even_if_the_repository_ignores_them(hosting: Hosting) -> None:
    """The operator's folder is not changed."""
    Path("plain").mkdir()
    Path("plain/.gitignore").write_text("specs/\n")
    Path("plain/a.txt").write_text("a")
    files = hosting.host(Path("plain"), "no-changes")
    assert {".gitignore", "a.txt"} < set(files)
    assert "spec.md" in {name.rpartition("/")[2] for name in files}
    assert sorted(path.name for path in Path("plain").iterdir()) == [".gitignore", "a.txt"]


@pytest.mark.parametrize("options", [(), ("--bare",)])
def test_a_repository_without_commits_is_refused(hosting: Hosting, options: tuple[str, ...]) -> None:
    """A run could not start from it."""
    with pytest.raises(RehearsalFailed, match="new has no commit on its current branch"):
        hosting.host(make_repository("new", *options, commit=False))


def test_a_file_is_refused(hosting: Hosting) -> None:
    """The error names it."""
    Path("file").write_text("x")
    with pytest.raises(RehearsalFailed, match="file is not a folder"):
        hosting.host(Path("file"))


def test_gits_reason_is_in_the_error(hosting: Hosting) -> None:
    """A repository without commits inside a folder, and a folder with a broken .git."""
    Path("outer").mkdir()
    make_repository("outer/inner", commit=False)
    with pytest.raises(RehearsalFailed, match="'inner/' does not have a commit checked out"):
        hosting.host(Path("outer"))


def test_a_broken_git_folder_is_reported(hosting: Hosting) -> None:
    """Not as an unexpected error."""
    Path("broken/.git").mkdir(parents=True)
    with pytest.raises(RehearsalFailed, match="broken cannot be copied"):
        hosting.host(Path("broken"))


def test_a_stop_while_the_folder_is_copied_is_not_a_failure_of_git(hosting: Hosting) -> None:
    """A signal to the process group ends git too, so git's error is not the cause."""
    Path("broken/.git").mkdir(parents=True)
    answers = iter([False, True])
    with pytest.raises(RehearsalStopped):
        hosting.host(Path("broken"), stopped=lambda: next(answers))


def test_a_rehearsal_stops_at_its_next_message() -> None:
    """The message itself is not reported any more."""
    reported: list[Progress] = []
    stop: list[bool] = []
    progress = ProgressReport(reported.append, lambda: bool(stop))
    progress("one")
    stop.append(True)
    with pytest.raises(RehearsalStopped):
        progress("two")
    assert [made.text for made in reported] == ["one"]
