"""What all screens have in common."""

import pytest
from textual.widgets import Input, Static

from moonmind_appliance.errors import EngineUnreachable, FieldProblem, InvalidRequest
from tests.tui.attached import settle
from tui.screens.page import Page

pytestmark = pytest.mark.anyio


class Form(Page):
    def body(self):
        yield Input(id="field")


async def opened(app, pilot):
    await settle(pilot)
    page = Form()
    await app.push_screen(page)
    await settle(pilot)
    return page


def message(page):
    return str(page.query_one("#message", Static).content)


async def test_an_error_says_what_to_do(attached):
    """With the fields of a request; without control characters."""
    app = attached.app()
    async with app.run_test() as pilot:
        page = await opened(app, pilot)
        page.show_error(EngineUnreachable("No engine\x1b[2J.", hint="Start it."))
        assert message(page) == "✗ No engine. Start it."
        page.show_error(InvalidRequest("Not valid.", fields=[FieldProblem("shard", "Too high.")]))
        assert message(page) == "✗ Not valid. shard: Too high."


async def test_a_failed_job_is_shown_on_its_page(attached):
    """Any other exception is a defect, and is not hidden here."""

    def fail():
        raise EngineUnreachable("gone")

    app = attached.app()
    async with app.run_test() as pilot:
        page = await opened(app, pilot)
        page.run_in_background("", fail, lambda _: None)
        await settle(pilot)
        assert message(page) == "✗ gone"


async def test_letters_go_to_the_field_that_has_the_focus(attached):
    """A number that opens a screen, too."""
    app = attached.app()
    async with app.run_test() as pilot:
        page = await opened(app, pilot)
        field = page.query_one(Input)
        field.focus()
        await pilot.press("2", "q")
        assert field.value == "2q"
        assert app.screen is page


@pytest.mark.parametrize(("key", "answered"), [("y", ["yes"]), ("n", []), ("escape", [])])
async def test_only_a_yes_is_followed_by_the_action(attached, key, answered):
    """The question comes first."""
    app, answers = attached.app(), []
    async with app.run_test() as pilot:
        page = await opened(app, pilot)
        page.confirm("Really?", "It cannot be undone.", "Do it", lambda: answers.append("yes"))
        await settle(pilot)
        await pilot.press(key)
        await settle(pilot)
        assert answers == answered
        assert app.screen is page
