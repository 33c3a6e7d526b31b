"""The live table of runs."""

import pytest
from rich.cells import cell_len

from moonmind_appliance.models import PhaseStatus
from moonmind_appliance.views.run_summary import RunRow
from tests.tui.attached import NOW, settle, until
from tests.tui.run_rows import summary
from tests.tui.runs_page import SIZE, select, shown, table
from tui.runs_table import columns, heading, row_text
from tui.signs import DARK


@pytest.mark.parametrize("width", [60, 79, 80, 119, 120, 159, 160, 200])
def test_a_row_fills_its_width_exactly(width):
    """With any content, and aligned with the heading."""
    long = "\u6f22\u5b57" * 40
    for run in (summary(), summary(repository=long, external_ref=long, base_branch=long, dry_run=True)):
        text = row_text(RunRow(run, (PhaseStatus.PENDING,) * 9), width, NOW, DARK)
        assert text.cell_len == width
    assert cell_len(heading(width)) == width


def test_wide_tables_have_more_columns():
    """Branch and user from 112 cells on, the external reference from 150 on."""
    names = {width: {column.name for column in columns(width)} for width in (80, 120, 160)}
    assert names[120] - names[80] == {"branch", "user"}
    assert names[160] - names[120] == {"ref"}


@pytest.mark.anyio
async def test_new_runs_appear_and_the_cursor_stays_on_its_run(attached, runs):
    """Also if they appear above it."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await select(app, pilot, runs["failed"])
        attached.submit(repository="acme/new")
        await until(pilot, lambda: len(table(app).ids) == 7)
        assert table(app).selected_id == runs["failed"].run_id


@pytest.mark.anyio
async def test_follow_keeps_the_cursor_on_the_first_run(attached, runs):
    """`f` turns it on and off."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("s", "down", "down", "f")
        await settle(pilot)
        assert shown(app, "sort") == "sort active  follow on" or "follow on" in shown(app, "sort")
        while "newest" not in shown(app, "sort"):
            await pilot.press("s")
            await settle(pilot)
        new = attached.submit(repository="acme/new")
        await until(pilot, lambda: table(app).selected_id == new.run_id)
        await pilot.press("f")
        await settle(pilot)
        assert "follow off" in shown(app, "sort")


@pytest.mark.anyio
async def test_only_the_rows_near_the_window_are_read(attached):
    """For the others the list stores only ids."""
    for _ in range(150):
        attached.submit()
    app = attached.app()
    async with app.run_test(size=(100, 24)) as pilot:
        await settle(pilot)
        height = table(app).size.height
        assert len(table(app).ids) == 150
        assert len(table(app).rows) <= 3 * 24
        await pilot.press("end")
        await settle(pilot)
        last = table(app).ids[-1]
        assert last in table(app).rows
        assert table(app).ids[0] not in table(app).rows
        assert round(table(app).scroll_y) == 150 - height
