"""A field with a few values on one line: arrow keys, space or a click select the next value."""

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.message import Message
from textual.widget import Widget

from tui.text import one_line

T = TypeVar("T")


class Choice(Widget, Generic[T], can_focus=True):
    """Posts `Changed` when the user chooses another value, but not after `choose`."""

    # With priority, as all keys: a dry run that is chosen ahead of Ctrl-S must be chosen before the run is submitted.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "step(1)", "Next value", show=False, priority=True),
        Binding("left", "step(-1)", "Previous value", show=False, priority=True),
    ]

    class Changed(Message):
        """Another value was chosen."""

        def __init__(self, choice: "Choice[T]") -> None:
            super().__init__()
            self.choice = choice

    def __init__(self, options: Sequence[tuple[T, str]], *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._options = list(options)
        self._value = self._options[0][0]

    @property
    def value(self) -> T:
        """The chosen value."""
        return self._value

    def choose(self, value: T) -> None:
        """Select this value, even if it is not among the options (yet)."""
        self._value = value
        self.refresh()

    def offer(self, options: Sequence[tuple[T, str]]) -> None:
        """Set the options; the chosen value does not change."""
        if list(options) != self._options:
            self._options = list(options)
            self.refresh()

    def render(self) -> Text:
        """The value between arrows."""
        label = dict(self._options).get(self._value, str(self._value))
        return Text(f"< {one_line(label)} >", no_wrap=True, overflow="ellipsis")

    def action_step(self, by: int) -> None:
        """Choose the next or previous value."""
        values = [value for value, _ in self._options]
        place = values.index(self._value) if self._value in values else 0
        self._value = values[(place + by) % len(values)]
        self.refresh()
        self.post_message(self.Changed(self))

    def on_click(self, event: Click) -> None:
        """Choose the next value."""
        event.stop()
        self.action_step(1)
