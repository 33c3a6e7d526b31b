"""Lines that are rendered again for each width: for help, findings and other short texts."""

from collections.abc import Callable, Sequence

from rich.text import Text
from textual import events

from tui.lines import Lines


class TextLines(Lines):
    """`show` takes a function from the width in cells to the lines; it is called again when the width changes."""

    has_cursor = False

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._make: Callable[[int], Sequence[Text]] | None = None
        self._rows: list[Text] = []

    def show(self, make: Callable[[int], Sequence[Text]]) -> None:
        """Show these lines; repaint only those that changed."""
        self._make = make
        self._anew()

    @property
    def line_count(self) -> int:
        """How many lines there are."""
        return len(self._rows)

    def line(self, y: int) -> Text:
        """A line, as a copy that the caller may change."""
        return self._rows[y].copy()

    def on_resize(self, event: events.Resize) -> None:
        """Wrap the lines again."""
        del event
        self._anew()

    def _anew(self) -> None:
        width = self.line_width
        if self._make is None or width <= 0:
            return
        rows, old = list(self._make(width)), self._rows
        self._rows = rows
        if len(rows) != len(old):
            self.lines_changed()
        else:
            self.repaint_lines(y for y, row in enumerate(rows) if row != old[y])


def wrapped(head: Text, text: Text, width: int) -> list[Text]:
    """`head`, then the text, wrapped in the column after the head."""
    room = max(width - head.cell_len, 10)
    pieces = _broken(text, room)
    blank = Text(" " * head.cell_len)
    return [Text.assemble(head if number == 0 else blank, piece) for number, piece in enumerate(pieces)]


def _broken(text: Text, room: int) -> list[Text]:
    lines: list[Text] = []
    for line in text.split("\n", allow_blank=True):
        start, plain = 0, line.plain
        while len(plain) - start > room:
            cut = plain.rfind(" ", start + 1, start + room + 1)
            end = cut if cut > start else start + room
            lines.append(line[start:end])
            start = end + 1 if cut > start else end
        lines.append(line[start:])
    return lines
