"""A log of any size on the page of its run."""

import pytest

from tests.tui.attached import settle, until
from tests.tui.run_page import SIZE, open_run, shown, texts
from tests.tui.sample_runs import item

pytestmark = pytest.mark.anyio


async def test_a_big_log_opens_at_its_real_end(attached, runs):
    """Although only its first part is read before the first line is shown."""
    path = attached.folder / f"runs/{runs['failed'].run_id}/artifacts/commit_push.stderr.log"
    path.write_bytes(b"".join(b"%09d a line of a log\n" % number for number in range(500_000)) + b"the last line\n")
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        await until(pilot, lambda: page.log_view.plain(page.log_view.cursor) == "the last line")
        await until(pilot, lambda: "-500,001 of 500,001" in shown(page, "state"))
        await pilot.press("g", "slash", *"LAST", "enter")
        await until(pilot, lambda: "find: LAST 1/1" in shown(page, "state"))
        assert page.log_view.plain(page.log_view.cursor) == "the last line"


async def test_a_running_run_is_followed(attached, runs):
    """New lines appear, events as text, and the last line stays visible."""
    app = attached.app()
    run = runs["running"]
    log = attached.folder / f"runs/{run.run_id}/artifacts/speckit_specify.stdout.jsonl"
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, run)
        await until(pilot, lambda: texts(page))
        assert page.log_view.follow
        assert texts(page)[:2] == ["$ cat one.md  → 0", "  text of one"]
        with log.open("ab") as file:
            file.write(item(type="agent_message", text="Hello\x1b[2J from \u202ethe agent"))
        await until(pilot, lambda: texts(page)[-1] == "Hello from the agent")
        assert page.log_view.plain(page.log_view.cursor) == "Hello from the agent"
        await pilot.press("k")
        await settle(pilot)
        assert not page.log_view.follow
        with log.open("ab") as file:
            file.write(item(type="agent_message", text="More") * 200)
        await until(pilot, lambda: "of 208" in shown(page, "state"))
        assert page.log_view.plain(page.log_view.cursor) != "More"
        await pilot.press("f")
        await until(pilot, lambda: page.log_view.plain(page.log_view.cursor) == "More")


async def test_search(attached, runs):
    """Slash, text and Enter in one burst; `n` and `N` go forwards and backwards; Escape ends the search."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        await until(pilot, lambda: texts(page))
        view = page.log_view
        await pilot.press("slash", *"LINE", "space", *"1", "enter")
        await until(pilot, lambda: view.plain(view.cursor) == "remote: line 1")
        assert "find: LINE 1 1/111" in shown(page, "state")
        await pilot.press("n")
        await until(pilot, lambda: view.plain(view.cursor) == "remote: line 10")
        await pilot.press("N")
        await until(pilot, lambda: view.plain(view.cursor) == "remote: line 1")
        await pilot.press("N")
        await until(pilot, lambda: view.plain(view.cursor) == "remote: line 199")
        await pilot.press("escape")
        await settle(pilot)
        assert "find" not in shown(page, "state")
        assert app.screen is page


async def test_a_search_without_a_result_is_reported(attached, runs):
    """In every kind of tab."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        await until(pilot, lambda: texts(page))
        await pilot.press("slash", *"nowhere", "enter")
        await until(pilot, lambda: "nowhere (not found)" in shown(page, "state"))
        await pilot.press("right_square_bracket", "n")
        await settle(pilot)
        assert "nowhere (not found)" in shown(page, "state")


async def test_search_in_events_searches_the_shown_text(attached, runs):
    """Text that is only in the JSON is not found."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"])
        await until(pilot, lambda: texts(page))
        view = page.log_view
        await pilot.press("slash", *"three", "enter")
        await until(pilot, lambda: view.plain(view.cursor) == "$ cat three.md  → 0")
        await pilot.press("escape", "slash", *"aggregated", "enter")
        await until(pilot, lambda: "(not found)" in shown(page, "state"))


async def test_first_error(attached, runs):
    """In events the first failed command; in text the first line with an error."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"])
        await until(pilot, lambda: texts(page))
        await pilot.press("e")
        await until(pilot, lambda: page.log_view.plain(page.log_view.cursor) == "$ cat none.md  → 1")
        await pilot.press("escape")
        await settle(pilot)
        page = await open_run(app, pilot, runs["failed"])
        await until(pilot, lambda: texts(page))
        await pilot.press("g", "e")
        await until(pilot, lambda: page.log_view.plain(page.log_view.cursor) == "remote: error: GH006")


async def test_logs_of_other_phases(attached, runs):
    """Plus and minus go through the logs; the cursor in the phases selects one, too."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"])
        await until(pilot, lambda: texts(page))
        assert shown(page, "state").startswith("speckit_specify stdout")
        await pilot.press("plus")
        await settle(pilot)
        assert shown(page, "state").startswith("speckit_plan stdout")
        await pilot.press("plus")
        await settle(pilot)
        assert shown(page, "state").startswith("speckit_specify stdout")
        await pilot.press("minus")
        await settle(pilot)
        assert shown(page, "state").startswith("speckit_plan stdout")
        page.set_focus(page.timeline)
        await pilot.press("k")
        await settle(pilot)
        assert shown(page, "state").startswith("speckit_specify stdout")
