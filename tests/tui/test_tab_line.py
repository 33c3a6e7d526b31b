"""The names of a page's tabs."""

import pytest

from tests.tui.attached import settle
from tests.tui.run_page import SIZE, open_run, texts
from tui.screens.run_page import TABS

pytestmark = pytest.mark.anyio


async def test_tabs(attached, runs):
    """Brackets go through all tabs; `l` and `a` open two of them."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"])
        seen = []
        for _ in TABS:
            seen.append(page._tab)
            await pilot.press("right_square_bracket")
            await settle(pilot)
        assert tuple(seen) == TABS
        assert page._tab == "log"
        await pilot.press("left_square_bracket")
        await settle(pilot)
        assert page._tab == "events"
        assert any("run queued" in text for text in texts(page))
        await pilot.press("a")
        await settle(pilot)
        assert any("change.patch" in text for text in texts(page))
        await pilot.press("l")
        assert page._tab == "log"
