"""Fixtures: an isolated terminal, and an API with users."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.served import Served, serve
from tests.cli.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    home = tmp_path / "home"
    home.mkdir()
    return Terminal(home)


@pytest.fixture
def served(terminal: Terminal) -> Iterator[Served]:
    """The API on the terminal's own data folder, on a port of its own."""
    with serve(terminal.data_dir) as served:
        terminal.variables["MOONMIND_PORT"] = served.address.rpartition(":")[2]
        yield served


@pytest.fixture(params=["http", "direct"])
def caller(request: pytest.FixtureRequest, terminal: Terminal, served: Served) -> Terminal:
    """An operator who uses HTTP, or the data folder."""
    if request.param == "http":
        terminal.variables["MOONMIND_API_TOKEN"] = served.tokens["olga"]
    return terminal
