"""A question before an action that cannot be undone."""

import pytest

from moonmind_appliance.models import RunStatus
from tests.tui.attached import settle
from tests.tui.runs_page import SIZE, select, shown
from tui.screens.confirm import Confirm

pytestmark = pytest.mark.anyio


async def test_cancel_asks_with_the_focus_on_no(attached, runs):
    """Enter, `n` and Escape keep the run; `y` cancels it."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await select(app, pilot, runs["queued"])
        for no in ("enter", "n", "escape"):
            await pilot.press("x")
            await settle(pilot)
            assert isinstance(app.screen, Confirm)
            await pilot.press(no)
            await settle(pilot)
            assert attached.store.runs.get(runs["queued"].run_id).status is RunStatus.QUEUED
        await pilot.press("x")
        await settle(pilot)
        await pilot.press("y")
        await settle(pilot)
        assert attached.store.runs.get(runs["queued"].run_id).status is RunStatus.CANCELLED
        assert "is cancelled." in shown(app, "message")


async def test_the_other_button_can_be_reached(attached, runs):
    """Right and Enter confirm."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await select(app, pilot, runs["running"])
        await pilot.press("x")
        await settle(pilot)
        await pilot.press("right", "enter")
        await settle(pilot)
        assert "is being cancelled" in shown(app, "message")
        assert attached.store.runs.get(runs["running"].run_id).cancel_requested_at is not None
