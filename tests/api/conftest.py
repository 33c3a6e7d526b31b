"""The API on a real port, on a store on disk, with three people."""

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
    """For tests that leave nothing behind."""
    with serve(tmp_path_factory.mktemp("data")) as served:
        yield served
