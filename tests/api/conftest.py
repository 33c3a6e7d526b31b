"""Fixtures: the API on a real port, a store on disk, and three users."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.served import Served, serve


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serve(tmp_path) as served:
        yield served


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A shared API, for tests that leave no data in it."""
    with serve(tmp_path_factory.mktemp("data")) as served:
        yield served
