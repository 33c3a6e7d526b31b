"""Opens the page of a run, and reads what it shows."""

from textual.widgets import Static

from tests.tui.attached import settle
from tui.log_view import LogView
from tui.screens import make_screen
from tui.screens.run import RunScreen

SIZE = (100, 32)


async def open_run(app, pilot, run, tab=""):
    await settle(pilot)
    page = make_screen("run", run.run_id, tab)
    await app.push_screen(page)
    await settle(pilot)
    assert isinstance(page, RunScreen)
    return page


def shown(page, name):
    return str(page.query_one(f"#{name}", Static).content)


def texts(page):
    """The visible rows."""
    lines = page.shown
    if isinstance(lines, LogView):
        return [row.text for row in lines._window.rows]
    return [lines.plain(y) for y in range(lines.line_count)]
