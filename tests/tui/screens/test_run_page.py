"""What the page of a run shows."""

import pytest
from textual.widgets import Static

from moonmind_appliance.models import PhaseName
from moonmind_appliance.views.changes import Change
from tests.tui.attached import settle, until
from tests.tui.run_page import SIZE, open_run, shown, texts
from tui.feed import DataChanged
from tui.screens import make_screen

pytestmark = pytest.mark.anyio


async def test_phases_show_state_time_bar_and_attempt(attached, runs):
    """One line per phase, in order."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        lines = [page.timeline.plain(y) for y in range(9)]
        assert lines[4].split()[:3] == ["✓", "speckit_plan", "2m10s"]
        assert "━" in lines[4]
        assert lines[6].split()[:3] == ["✗", "commit_push", "1.3s"]
        assert lines[7].split() == ["·", "open_pr", "-"]
        assert page.timeline.selected.phase is PhaseName.COMMIT_PUSH


async def test_a_failed_run_opens_at_the_end_of_the_failed_log(attached, runs):
    """The reason is usually there."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        await until(pilot, lambda: texts(page))
        assert shown(page, "state").startswith("commit_push stderr")
        assert "-301 of 301" in shown(page, "state")
        assert page.log_view.plain(page.log_view.cursor) == "remote: error: GH006"


@pytest.mark.parametrize(
    ("tab", "found"),
    [
        ("diff", "+- FR-001: The shop MUST keep a basket."),
        ("spec", "Basket"),
        ("plan", "Plan of the basket"),
        ("tasks", "The run did not write this file."),
        ("questions", " 1 How long is a basket kept?"),
    ],
)
async def test_documents(attached, runs, tab, found):
    """The change, Spec Kit's documents, and the open questions."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"], tab)
        await until(pilot, lambda: any(text.rstrip() == found for text in texts(page)))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 48), (10, 3)])
async def test_every_size(attached, runs, size):
    """Every size works, also during a resize."""
    app = attached.app()
    async with app.run_test(size=size) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        await pilot.resize_terminal(100, 30)
        await settle(pilot)
        await pilot.resize_terminal(*size)
        await settle(pilot)
        assert app.screen is page


async def test_a_change_while_the_page_opens_is_safe(attached, runs):
    """The page has no widgets yet, and reads everything when it has them."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        opened = app.push_screen(make_screen("run", runs["queued"].run_id))
        app.on_data_changed(DataChanged(Change(frozenset(), frozenset(), 0, other=True)))
        await opened
        await until(pilot, lambda: runs["queued"].short_id in str(app.screen.query_one("#header", Static).content))
