"""A text on the screen is repainted only when it changes."""

import pytest
from rich.text import Text
from textual.app import App
from textual.widgets import Static

from tui.static import update


class Counting(Static):
    updates = 0

    def update(self, content="", *, layout=True):
        self.updates += 1
        super().update(content, layout=layout)


class Screen(App):
    def compose(self):
        yield Counting("")


@pytest.mark.anyio
async def test_the_same_text_is_not_shown_again():
    """Another style is another text."""
    app = Screen()
    async with app.run_test():
        widget = app.query_one(Counting)
        before = widget.updates
        for text in (Text("a"), Text("a"), Text.assemble(("a", "bold")), Text.assemble(("a", "bold")), Text("b")):
            update(widget, text)
        assert widget.updates - before == 3
        assert widget.content == Text("b")
