"""An appliance for each test, independent of the machine's terminal and time zone."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.attached import Attached, attached_to


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("NO_COLOR", "TEXTUAL_THEME", "TMUX", "COLORFGBG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def anyio_backend() -> str:
    """Textual runs on asyncio."""
    return "asyncio"


@pytest.fixture
def attached(tmp_path: Path) -> Iterator[Attached]:
    with attached_to(tmp_path / "data") as made:
        yield made
