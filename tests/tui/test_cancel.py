"""A run is cancelled from any page that shows one."""

import pytest

from tests.tui.attached import settle
from tests.tui.runs_page import SIZE, select, shown
from tui.screens.runs import RunsScreen

pytestmark = pytest.mark.anyio


async def test_a_run_that_has_ended_cannot_be_cancelled(attached, runs):
    """A message explains it; there is no question."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await select(app, pilot, runs["succeeded"])
        await pilot.press("x")
        await settle(pilot)
        assert isinstance(app.screen, RunsScreen)
        assert "has ended" in shown(app, "message")
