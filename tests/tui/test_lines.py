"""A view of numbered lines."""

import pytest

from tests.tui.attached import settle
from tests.tui.runs_page import SIZE, table

pytestmark = pytest.mark.anyio


async def test_moving(attached, runs):
    """Arrows and letters, pages, first and last."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        places = []
        for key in ("down", "j", "k", "up", "end", "home", "G", "g", "pagedown", "pageup"):
            await pilot.press(key)
            places.append(table(app).cursor)
        assert places == [1, 2, 1, 0, 5, 0, 5, 0, 5, 0]
