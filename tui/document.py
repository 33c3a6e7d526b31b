"""Shows a Markdown text: rendered in a thread, part by part, painted line by line."""

from collections.abc import Iterator
from functools import partial

from rich.segment import Segment
from rich.text import Text
from textual import events

from moonmind_appliance.errors import ApplianceError
from tui.lines import Lines
from tui.markdown import markdown_lines
from tui.screens.page import page_of
from tui.text import clean


class Document(Lines):
    """Shows one text at a time. `show` may be called again; with the same text it does nothing."""

    has_cursor = True

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self._source = ""
        self._width = 0
        self._rows: list[list[Segment]] = []
        # Rows of the last width, shown until the first part for the new width is ready.
        self._number = 0

    def show(self, markdown: str) -> None:
        """Render this text; its first lines appear within milliseconds, the others when they are ready."""
        if markdown != self._source:
            self._source = markdown
            self.scroll_to(y=0, animate=False)
            self.cursor = 0
            self._render_anew()

    @property
    def line_count(self) -> int:
        """How many lines are rendered so far."""
        return len(self._rows)

    def line(self, y: int) -> Text:
        """A rendered line."""
        text = Text(no_wrap=True, end="")
        for segment in self._rows[y]:
            text.append(segment.text, segment.style)
        return text

    def plain(self, y: int) -> str:
        """A line's text."""
        return "".join(segment.text for segment in self._rows[y])

    def on_resize(self, event: events.Resize) -> None:
        """Wrap the lines again if the width has changed."""
        del event
        if self.line_width != self._width:
            self._render_anew()

    def _render_anew(self) -> None:
        self._width = self.line_width
        self._number += 1
        if self._width <= 0:
            return
        made = markdown_lines(clean(self._source), self._width)
        self._next(made, self._number, first=True)

    def _next(self, made: Iterator[list[list[Segment]]], number: int, *, first: bool) -> None:
        done = partial(self._add, made, number, first)
        page_of(self).run_in_background("", partial(next, made, None), done, self._failed)

    def _add(
        self,
        made: Iterator[list[list[Segment]]],
        number: int,
        first: bool,  # noqa: FBT001 - bound by partial
        rows: list[list[Segment]] | None,
    ) -> None:
        if number != self._number or not self.is_attached:
            return
        if first:
            self._rows = []
        if rows is not None:
            self._rows += rows
            self._next(made, number, first=False)
        elif self._rows and not self._rows[-1]:
            self._rows.pop()
        self.lines_changed()

    def _failed(self, error: ApplianceError) -> None:
        page_of(self).show_error(error)
