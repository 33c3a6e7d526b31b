"""An appliance for each test, independent of the machine's terminal and time zone."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.models import Run
from tests.tui.attached import Attached, attached_to
from tests.tui.sample_runs import runs_in_every_state


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


@pytest.fixture
def runs(attached: Attached) -> dict[str, Run]:
    """A run in each state."""
    return runs_in_every_state(attached)


@pytest.fixture
def prepared(tmp_path: Path) -> Iterator[tuple[Attached, dict[str, Run], dict[str, str]]]:
    """A data folder with a run in each state, and its owner's environment."""
    with attached_to(tmp_path / "data") as attached:
        made = runs_in_every_state(attached)
        environment = {
            "HOME": str(tmp_path),
            "MOONMIND_ENV_FILE": "/dev/null",
            "MOONMIND_DATA_DIR": str(tmp_path / "data"),
            "MOONMIND_PORT": "1",
            "MIN_FREE_DISK": "1k",
        }
        yield attached, made, environment
