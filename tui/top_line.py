"""The top line: the numbered screens, and whether `serve` runs."""

from rich.text import Text
from textual import events
from textual.geometry import Offset
from textual.widget import Widget

TABS = (("runs", "1 Runs"), ("shards", "2 Shards"), ("checks", "3 Checks"))
_GAP = 2


class TopLine(Widget):
    """One line; a click on a name opens that screen."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._mode = ""
        self._right = Text()

    def show(self, right: Text, mode: str) -> None:
        """Set the text at the right, and the screen that is shown. Repaints only if something changed."""
        if (right, mode) != (self._right, self._mode):
            self._right, self._mode = right, mode
            self.refresh()

    def render(self) -> Text:
        """The line."""
        text = Text(" ", no_wrap=True, end="")
        for mode, label in TABS:
            text.append(f" {label} ", "bold reverse" if mode == self._mode else "")
            text.append(" " * (_GAP - 1))
        space = self.size.width - text.cell_len - self._right.cell_len - 1
        text.append(" " * max(1, space))
        text.append_text(self._right)
        return text

    async def on_click(self, event: events.Click) -> None:
        """Open the screen whose name was clicked."""
        offset: Offset = event.get_content_offset_capture(self)
        start = 1
        for mode, label in TABS:
            end = start + len(label) + 2
            if start <= offset.x < end:
                await self.app.run_action(f"show({mode!r})")
                return
            start = end + _GAP - 1
