"""A world for each test, one stand-in for GitHub for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.runs.world import World
from tests.runs.world import world as make_world


@pytest.fixture(scope="session")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInGitHub]:
    """Each world has a repository of its own on it."""
    with StandInGitHub(("127.0.0.1", 0), tmp_path_factory.mktemp("github")) as made:
        yield made


@pytest.fixture
def world(tmp_path: Path, github: StandInGitHub) -> Iterator[World]:
    """Two shards, both signed in."""
    with make_world(tmp_path / "data", github) as made:
        yield made
