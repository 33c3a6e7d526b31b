"""The editor of the specification."""

import pytest
from textual.app import App

from tui.editor import Editor
from tui.themes import PALETTES, themes


class Form(App):
    def compose(self):
        for theme in themes():
            self.register_theme(theme)
        yield Editor(id="editor")


@pytest.mark.anyio
async def test_the_colours_follow_the_apps_theme():
    """Also after a change. The cursor does not blink: that would write to the terminal continuously."""
    app = Form()
    async with app.run_test() as pilot:
        editor = app.query_one(Editor)
        for name in PALETTES:
            app.theme = name
            await pilot.pause()
            assert editor.theme == name
        assert editor.cursor_blink is False


@pytest.mark.anyio
async def test_tab_leaves_the_editor_and_enter_adds_a_line():
    """Tab moves between the fields of the form."""
    app = Form()
    async with app.run_test() as pilot:
        editor = app.query_one(Editor)
        editor.focus()
        await pilot.press("a", "enter", "b", "tab")
        assert editor.text == "a\nb"
