"""The line above a tab: the tab's state, or a question."""

import pytest
from textual.app import App
from textual.widgets import Button, Static

from tui.state_line import StateLine


class Screen(App):
    def compose(self):
        yield StateLine(id="line")
        yield Button("other", id="other")


@pytest.mark.anyio
async def test_a_question_replaces_the_state_until_its_end():
    """The field has the focus and the given value; the state can change meanwhile."""
    app = Screen()
    async with app.run_test() as pilot:
        line = app.query_one(StateLine)
        state = line.query_one("#state", Static)
        line.show("1-2 of 2 lines")
        line.ask("save", "Save as ", "log.txt")
        await pilot.pause()
        assert (line.asking, line.field.value, state.display) == ("save", "log.txt", False)
        assert line.field.has_focus
        line.show("1-3 of 3 lines")
        app.query_one("#other").focus()
        line.end()
        await pilot.pause()
        assert (line.asking, line.field.display, state.display) == ("", False, True)
        assert str(state.content) == "1-3 of 3 lines"
