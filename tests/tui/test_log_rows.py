"""The rows of a log: read around the visible ones, moved through, wrapped or cut."""

import pytest

from tests.tui.attached import settle, until
from tests.tui.run_page import SIZE, open_run, texts
from tests.tui.sample_runs import CODEX

pytestmark = pytest.mark.anyio


async def test_raw_and_wrap(attached, runs):
    """`v` shows the raw events, `w` wraps them."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"])
        await until(pilot, lambda: texts(page))
        await pilot.press("v")
        await until(pilot, lambda: len(texts(page)) == CODEX.count(b"\n"))
        assert texts(page) == CODEX.decode().splitlines()
        await pilot.press("w")
        await until(pilot, lambda: len(texts(page)) > CODEX.count(b"\n"))
        assert max(map(len, texts(page))) <= page.log_view.size.width
        assert "".join(texts(page)) == CODEX.decode().replace("\n", "")
        await pilot.press("w", "v")
        await until(pilot, lambda: texts(page)[0] == "$ cat one.md  → 0")


async def test_moving_in_a_log(attached, runs):
    """To both ends, by lines and by pages; the line under the cursor stays the same."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        await until(pilot, lambda: texts(page))
        view = page.log_view

        async def after(*keys):
            await pilot.press(*keys)
            await settle(pilot)
            return view.plain(view.cursor)

        height = view.size.height
        assert await after("g") == "remote: line 0"
        assert await after("j", "down", "k") == "remote: line 1"
        assert await after("pagedown") == f"remote: line {height}"
        assert await after("pageup") == "remote: line 1"
        assert await after(*["j"] * 250) == "remote: line 251"
        assert await after(*["k"] * 200) == "remote: line 51"
        assert await after("G") == "remote: error: GH006"
        assert await after("home") == "remote: line 0"
        assert await after("end") == "remote: error: GH006"
