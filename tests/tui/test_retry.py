"""A run is retried from any page that shows one."""

import msgspec
import pytest

from moonmind_appliance.models import RunStatus
from tests.tui.attached import settle
from tests.tui.runs_page import SIZE, select, shown

pytestmark = pytest.mark.anyio


async def test_retry(attached, runs):
    """A failed run is queued again; others are unchanged."""
    app = attached.app()
    attached.served = msgspec.structs.replace(attached.served, answers=False)
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await select(app, pilot, runs["running"])
        await pilot.press("r")
        await settle(pilot)
        assert "Only failed and cancelled runs" in shown(app, "message")
        await select(app, pilot, runs["failed"])
        await pilot.press("r")
        await settle(pilot)
        assert attached.store.runs.get(runs["failed"].run_id).status is RunStatus.QUEUED
        assert shown(app, "message").endswith("`serve` is not running: the run starts when it does.")
