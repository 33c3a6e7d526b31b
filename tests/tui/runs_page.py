"""Reads the page of all runs, and selects one."""

from textual.widgets import Static

from tests.tui.attached import settle
from tui.runs_table import RunsTable

SIZE = (100, 30)


def table(app):
    return app.screen.query_one("#runs", RunsTable)


def shown(app, name):
    return str(app.screen.query_one(f"#{name}", Static).content)


async def select(app, pilot, run):
    found = table(app)
    found.go_to(list(found.ids).index(run.run_id))
    await settle(pilot)
