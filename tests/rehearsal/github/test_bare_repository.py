"""Where a hosted repository comes from."""

from pathlib import Path

import pytest

from moonmind_appliance.rehearsal.github import GitFailed, StandInGitHub
from tests.github.stand_in import SLUG, git
from tests.rehearsal.github.hosted import files, head


def test_the_same_files_have_the_same_commit_id(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The id does not depend on the time or the machine."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.txt").write_text("a\n")
    stand_in.add_repository("acme/one", source)
    stand_in.add_repository("acme/two", source)
    assert head(stand_in, "acme/one") == head(stand_in, "acme/two")


def test_a_folders_files_become_the_first_commit(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """Its .gitignore applies; the folder itself is not changed."""
    source = tmp_path / "source"
    (source / "deep/er").mkdir(parents=True)
    (source / "deep/er/file").write_text("x")
    (source / "debug.log").write_text("x")
    (source / ".gitignore").write_text("*.log\n")
    stand_in.add_repository("acme/folder", source, default_branch="trunk")
    assert files(stand_in, "acme/folder", "trunk") == {".gitignore": "*.log", "deep/er/file": "x"}
    assert sorted(path.name for path in source.iterdir()) == [".gitignore", "debug.log", "deep"]


def test_an_empty_folder_gives_an_empty_commit(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """There is a branch to start from."""
    (tmp_path / "empty").mkdir()
    stand_in.add_repository("acme/empty", tmp_path / "empty")
    assert files(stand_in, "acme/empty") == {}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A git repository on a branch of another name, with a tag and something uncommitted."""
    folder = tmp_path / "source"
    folder.mkdir()
    git("init", "-q", "-b", "develop", folder=folder)
    (folder / "kept").write_text("kept")
    git("add", ".", folder=folder)
    git("commit", "-q", "-m", "first", folder=folder)
    git("tag", "v1", folder=folder)
    git("branch", "other", folder=folder)
    (folder / "uncommitted").write_text("x")
    return folder


def test_a_git_repository_is_cloned(stand_in: StandInGitHub, source: Path) -> None:
    """Branches, tags and history are cloned, uncommitted files are not; the default branch is the source's HEAD."""
    stand_in.add_repository("acme/clone", source)
    here = git("rev-parse", "HEAD", folder=source)
    bare = stand_in.git_folder("acme/clone")
    assert {head(stand_in, "acme/clone", name) for name in ("main", "develop", "other")} == {here}
    assert git("rev-parse", "v1^{commit}", folder=bare) == here
    assert files(stand_in, "acme/clone") == {"kept": "kept"}
    assert git("symbolic-ref", "HEAD", folder=bare) == "refs/heads/main"
    assert git("remote", folder=bare) == ""


def test_a_bare_repository_is_cloned_too(stand_in: StandInGitHub) -> None:
    """A bare repository is recognized without a .git folder."""
    stand_in.add_repository("acme/clone", stand_in.git_folder(SLUG))
    assert head(stand_in, "acme/clone") == head(stand_in, SLUG)


def test_a_source_that_cannot_be_read_is_an_error(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The message is git's own."""
    (tmp_path / "broken/.git").mkdir(parents=True)
    with pytest.raises(GitFailed, match=r"not appear to be a git repository|does not exist"):
        stand_in.add_repository("acme/broken", tmp_path / "broken")
