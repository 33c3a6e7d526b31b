"""A git_run_folders for each test of the git container's program."""

from collections.abc import Iterator

import pytest

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.in_container.git_fixture import TOKEN, GitRun, git_run_folders


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
