"""A run's folders with a repository, and a login volume, for the tests of the programs."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.in_container.git_fixture import TOKEN, GitRun, git_run_folders
from tests.in_container.login_volumes import LOGIN


@pytest.fixture(autouse=True)
def destructors_of_other_tests_wait() -> Iterator[None]:
    """The programs meet deep JSON in processes of their own, not in one with the garbage of other tests."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInGitHub]:
    """One stand-in for all of these tests; each has its own repository."""
    with StandInGitHub(("127.0.0.1", 0), tmp_path_factory.mktemp("github")) as made:
        made.add_token(TOKEN)
        yield made


@pytest.fixture
def git_run(github: StandInGitHub) -> Iterator[GitRun]:
    """Folders, a repository, and the program."""
    with git_run_folders(github) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The HOME of the container's user."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A login volume with a login."""
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/auth.json").write_bytes(LOGIN)
    return tmp_path / "volume"
