"""Snapshots of the list of runs and of a run: review a changed picture before you accept it.

`pytest --snapshot-update` takes the new pictures; `snapshot_report.html` shows old and new side by side.
"""

import uuid
from types import SimpleNamespace

import pytest

from tests.tui.attached import settle, until
from tests.tui.sample_runs import runs_in_every_state
from tui.log_view import LogView
from tui.screens import make_screen
from tui.terminal import ThemeName

LOOKS = [
    pytest.param((80, 24), ThemeName.DARK, id="80x24-dark"),
    pytest.param((160, 48), ThemeName.LIGHT, id="160x48-light"),
]


@pytest.fixture
def runs(attached, monkeypatch):
    """Runs with fixed ids."""
    numbers = iter(range(1, 100))
    ids = SimpleNamespace(uuid4=lambda: uuid.UUID(int=0x0F3A9C1E5B2D47C8A1E64D9037B5F261 * next(numbers) % (1 << 128)))
    monkeypatch.setattr("moonmind_appliance.runs.submit.uuid", ids)
    return runs_in_every_state(attached)


@pytest.mark.parametrize(("size", "theme"), LOOKS)
def test_runs(attached, runs, snap_compare, size, theme):
    """Every state of a run."""

    async def show(pilot):
        await settle(pilot)
        await pilot.press("down", "down")
        await settle(pilot)

    assert snap_compare(attached.app(theme_name=theme), terminal_size=size, run_before=show)


@pytest.mark.parametrize(("size", "theme"), LOOKS)
@pytest.mark.parametrize(("which", "tab"), [("failed", "log"), ("succeeded", "log"), ("succeeded", "diff")])
def test_run(attached, runs, snap_compare, size, theme, which, tab):  # noqa: PLR0917 - pytest calls by name
    """A failed run at the end of its log, a succeeded one with events as text, and its change."""

    async def show(pilot):
        await settle(pilot)
        page = make_screen("run", runs[which].run_id, tab)
        await pilot.app.push_screen(page)
        await settle(pilot)
        await until(pilot, lambda: page.shown.line_count > 0)
        await settle(pilot)
        assert tab != "log" or isinstance(page.shown, LogView)

    assert snap_compare(attached.app(theme_name=theme), terminal_size=size, run_before=show)


@pytest.mark.parametrize(("size", "theme"), LOOKS)
def test_question(attached, runs, snap_compare, size, theme):
    """The question before a cancel, with the focus on No."""

    async def show(pilot):
        await settle(pilot)
        await pilot.press("x")
        await settle(pilot)

    assert snap_compare(attached.app(theme_name=theme), terminal_size=size, run_before=show)
