"""A dialog before an action that cannot be undone; the default answer is no."""

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tui.keys import Where, bindings


class Confirm(ModalScreen[bool]):
    """Asks the user; is dismissed with True for yes. The focus begins on No."""

    BINDINGS = bindings(Where.CONFIRM)
    AUTO_FOCUS = "#no"

    def __init__(self, question: str, consequence: str, *, yes: str, no: str = "No") -> None:
        super().__init__()
        self._question = question
        self._consequence = consequence
        self._yes = yes
        self._no = no

    def compose(self) -> ComposeResult:
        """The question, its consequences, two buttons."""
        with Vertical(id="confirm"):
            yield Static(self._question, id="question", markup=False)
            yield Static(self._consequence, id="consequence", markup=False)
            with Horizontal(id="answers"):
                yield Button(f"{self._no} (n)", id="no", compact=True)
                yield Button(f"{self._yes} (y)", id="yes", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        event.stop()
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:  # noqa: FBT001 - Textual passes it by position
        """Answer by a key."""
        self.dismiss(answer)

    def action_other(self) -> None:
        """Focus the other button."""
        other = "#no" if self.focused is not None and self.focused.id == "yes" else "#yes"
        self.set_focus(self.query_one(other))


Answered = Callable[[bool | None], None]
