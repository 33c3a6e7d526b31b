"""The line above a tab of a run: the tab's state, or a text field with a question."""

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from tui.static import update


class StateLine(Horizontal):
    """Shows `show`'s text until `ask`, and again after `end`."""

    asking = ""
    """What the field is for: `ask`'s first argument; "" while it is closed."""

    def compose(self) -> ComposeResult:
        """The state; the question and its field, closed."""
        yield Static("", id="state", markup=False)
        yield Static("", id="asked", markup=False)
        field = Input(id="field", compact=True)
        field.cursor_blink = False
        field.display = False
        yield field

    @property
    def field(self) -> Input:
        """The text field."""
        return self.query_one("#field", Input)

    def show(self, state: str) -> None:
        """Set the tab's state."""
        update(self.query_one("#state", Static), Text(state, no_wrap=True, overflow="ellipsis"))

    def ask(self, what: str, label: str, value: str) -> None:
        """Open the field, with the focus, the cursor after `value`."""
        self.asking = what
        self._switch(Text(label), field=True)
        self.field.value = value
        self.field.cursor_position = len(value)
        self.screen.set_focus(self.field)

    def end(self) -> None:
        """Close the field; the caller has moved the focus."""
        self.asking = ""
        self._switch(Text(), field=False)

    def _switch(self, asked: Text, *, field: bool) -> None:
        update(self.query_one("#asked", Static), asked)
        self.query_one("#state", Static).display = not field
        self.field.display = field
