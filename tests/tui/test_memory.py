"""Use does not leak memory: closed and replaced objects can be collected."""

import gc

import pytest
from textual.screen import Screen
from textual.widget import Widget

from tests.tui.attached import settle
from tests.tui.sample_runs import runs_in_every_state
from tui.screens import make_screen
from tui.screens.run import RunScreen

pytestmark = pytest.mark.anyio

ROUNDS = 30
# Textual's message loops and Python frames may still refer to the last closed page.
ONE_PAGE = 40


def live(kind):
    """The number of objects of that class."""
    gc.collect()
    return sum(isinstance(each, kind) for each in gc.get_objects())


async def open_and_close_run(app, pilot, run):
    await app.push_screen(make_screen("run", run.run_id))
    await pilot.pause()
    assert isinstance(app.screen, RunScreen)
    await app.pop_screen()
    await pilot.pause()


async def open_and_close_form(app, pilot, run):
    await app.push_screen(make_screen("new_run", run.run_id))
    await pilot.pause()
    await app.pop_screen()
    await pilot.pause()


async def switch_and_return(app, pilot, run):
    del run
    for mode in ("shards", "runs"):
        await app.switch_mode(mode)
        await pilot.pause()


@pytest.mark.parametrize("use", [open_and_close_run, open_and_close_form, switch_and_return])
async def test_screens_and_widgets_do_not_accumulate(attached, use):
    """Thirty repetitions leave as many screens and widgets as two."""
    run = runs_in_every_state(attached)["failed"]
    app = attached.app()
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        for _ in range(2):
            await use(app, pilot, run)
        await settle(pilot)
        screens, widgets = live(Screen), live(Widget)
        for _ in range(ROUNDS):
            await use(app, pilot, run)
        await settle(pilot)
        assert live(Screen) - screens <= 1
        assert live(Widget) - widgets <= ONE_PAGE
