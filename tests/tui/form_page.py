"""Opens the form of a new run, fills it in, and reads what it shows."""

from textual.widgets import Static

from tests.tui.attached import settle
from tui.screens import make_screen
from tui.screens.new_run import NewRunScreen


async def open_form(app, pilot, *arguments):
    await settle(pilot)
    form = make_screen("new_run", *arguments)
    await app.push_screen(form)
    await settle(pilot)
    assert isinstance(form, NewRunScreen)
    return form


def shown(form, name):
    return str(form.query_one(f"#{name}", Static).content)


async def write(pilot, text):
    """Type the text in one burst."""
    await pilot.press(*["space" if character == " " else character for character in text])
