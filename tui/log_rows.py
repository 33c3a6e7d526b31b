"""Shows the rows of a log of any size: a thread reads only the rows around the visible ones."""

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scrollbar import ScrollDown, ScrollTo, ScrollUp
from textual.selection import Selection
from textual.strip import Strip

from moonmind_appliance.errors import ApplianceError
from tui.lines import MOST_COPIED_LINES, Lines
from tui.log_index import LogIndex
from tui.log_page import WIDEST, RowFormat, Rows, rows_around
from tui.log_window import LogWindow
from tui.screens.page import page_of

# A log is indexed in pieces, so that reads never wait long.
PIECE_BYTES = 16 * 1024 * 1024
_PAGES_AROUND = 3


class ReadRequest(NamedTuple):
    """What to show after rows are read: that line at the top, or the end of the log at the bottom.

    `anew`: ignore the position of the rows that are shown. `cursor`: the line for the cursor, shown anywhere.
    """

    line: int
    at_end: bool = False
    anew: bool = False
    cursor: int | None = None


class LogRows(Lines):
    """The rows of one log. Threads do all reads; until the rows are available, the old ones stay."""

    class StateChanged(Message):
        """The value of `LogView.state` may have changed."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.follow = False
        self.wrap = False
        self.raw = False
        self._index: LogIndex | None = None
        self._events = False
        self._window = LogWindow()
        self._request: ReadRequest | None = None

    # Reading rows.

    @property
    def _row_format(self) -> RowFormat:
        return RowFormat(self.line_width if self.wrap else 0, self._events and not self.raw)

    def _again(self) -> None:
        """Read the same position again, as rows of another kind."""
        line = self._top_line
        self._window.rows = []
        if self._index is not None:
            self._read(ReadRequest(self._index.line_count if self.follow else line, at_end=self.follow, anew=True))
        self.screen.clear_selection()
        self.post_message(self.StateChanged())

    def _read(self, request: ReadRequest) -> None:
        """Read the rows around a line, then show them."""
        index, height = self._index, max(1, self.size.height or self.app.size.height)
        if index is None:
            return
        self._request = request
        around = _PAGES_AROUND * height
        work = partial(_rows, index, request, around, self._row_format)
        page_of(self).run_in_background(
            "log-read", work, partial(self._take, index, self._row_format, request), self._read_failed
        )

    def _read_failed(self, error: ApplianceError) -> None:
        self._request = None
        page_of(self).show_error(error)

    def _take(self, index: LogIndex, row_format: RowFormat, request: ReadRequest, read: Rows) -> None:
        if index is not self._index or row_format != self._row_format:
            return
        self._request = None
        window, height = self._window, self._height
        known = window.replace(read)
        if request.at_end or (self.follow and read.at_end):
            window.top, self.cursor = window.last, window.last
        elif request.cursor is not None:
            target = window.number_of(request.cursor)
            if not window.top <= target < window.top + height or request.anew:
                window.top = target - height // 2
            self.cursor = target
        elif request.anew or not known:
            window.top = self.cursor = window.number_of(request.line)
        window.top = window.top_for(window.top, height)
        self.cursor = window.nearest(self.cursor)
        self.widest = 0 if self.wrap else WIDEST
        self._set_scrollbar()
        self.refresh()
        self.post_message(self.StateChanged())

    @property
    def _height(self) -> int:
        return max(1, self.size.height)

    @property
    def _top_line(self) -> int:
        return self._window.line_of(self._window.top)

    @property
    def _cursor_line(self) -> int:
        if self._request is not None and self._request.cursor is not None:
            # It moves there after the rows are read.
            return self._request.cursor
        return self._window.line_of(self.cursor)

    def _set_scrollbar(self) -> None:
        """Set the scroll bar, whose unit is lines, not rows."""
        if self._index is None:
            return
        wanted = Size(self.widest, self._index.line_count + max(0, self.size.height - 1))
        if self.virtual_size != wanted:
            self.virtual_size = wanted
        self.scroll_to(y=self._top_line, animate=False, force=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """The scroll bar follows the rows, also before it is shown; it does not move them."""
        del old_value
        self.vertical_scrollbar.position = new_value

    def _on_scroll_to(self, message: ScrollTo) -> None:
        """The scroll bar was dragged: show that line."""
        message.stop()
        message.prevent_default()
        if message.y is not None:
            self._stop_following()
            self._read(ReadRequest(round(message.y), anew=True))

    def _on_scroll_down(self, event: ScrollDown) -> None:
        """A click below the handle of the scroll bar."""
        event.stop()
        event.prevent_default()
        self.action_page(1)

    def _on_scroll_up(self, event: ScrollUp) -> None:
        """A click above the handle of the scroll bar."""
        event.stop()
        event.prevent_default()
        self.action_page(-1)

    # Lines.

    @property
    def line_count(self) -> int:
        """Rows that are known."""
        return len(self._window.rows)

    def plain(self, y: int) -> str:
        """The text of a row."""
        row = self._window.row(y)
        return row.text if row else ""

    def line(self, y: int) -> Text:
        """A row in its colour."""
        row = self._window.rows[y - self._window.first]
        return Text(row.text, page_of(self).tui.palette.tone(row.tone), no_wrap=True, end="")

    @property
    def match_style(self) -> Style:
        """The theme's."""
        return page_of(self).tui.palette.match

    def render_line(self, y: int) -> Strip:
        """One visible row."""
        number = self._window.top + y
        base = self.rich_style
        if self._window.row(number) is None:
            return Strip.blank(self.size.width, base)
        scroll_x = 0 if self.wrap else self.scroll_offset.x
        return self.paint(self.line(number), number, scroll_x, base, cursor=number == self.cursor)

    def lines_changed(self) -> None:
        """Repaint everything."""
        self.refresh()

    def repaint_lines(self, lines: Iterable[int]) -> None:
        """Repaint the visible ones of these rows."""
        for number in lines:
            if self._window.top <= number < self._window.top + self.size.height:
                self.refresh(Region(0, number - self._window.top, self.size.width, 1))

    def watch_cursor(self, old: int, new: int) -> None:
        """Repaint the two rows."""
        self.repaint_lines((old, new))
        self.post_message(self.CursorMoved(self))

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text of the rows that are known."""
        window = self._window
        first = max(window.first, selection.start.y) if selection.start else window.first
        last = min(window.last, selection.end.y if selection.end else window.last, first + MOST_COPIED_LINES - 1)
        taken = []
        for number in range(first, last + 1):
            span = selection.get_span(number)
            if span is not None:
                plain = self.plain(number)
                taken.append(plain[span[0] : len(plain) if span[1] == -1 else span[1]].rstrip())
        return "\n".join(taken), "\n"

    # Moving.

    def _show_line(self, line: int) -> None:
        """Put the cursor on that line."""
        rows = self._window.rows
        if rows and rows[0].line <= line <= rows[-1].line:
            self.go_to(self._window.number_of(line))
        else:
            self._window.rows = []
            self._read(ReadRequest(line, anew=True, cursor=line))

    def _scroll(self, top: int) -> None:
        """Show that row at the top, and read more when the known rows come to an end."""
        window, height = self._window, self._height
        top = window.top_for(top, height)
        if top != window.top:
            window.top = top
            self._set_scrollbar()
            self.refresh()
            self.post_message(self.StateChanged())
        short_above = top - window.first < height and not window.at_start
        short_below = window.last - top < 2 * height and not window.at_end
        if (short_above or short_below) and self._request is None:
            self._read(ReadRequest(self._top_line))

    def go_to(self, y: int, *, middle: bool = False) -> None:
        """Put the cursor on a row that is known, and show it."""
        del middle
        if not self._window.rows:
            return
        y = self._window.nearest(y)
        if not self._window.top <= y < self._window.top + self._height:
            self._scroll(y - self._height // 2)
        self.cursor = y

    def action_cursor(self, by: int) -> None:
        """Move by rows; upwards it ends following."""
        if by < 0:
            self._stop_following()
        self.go_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move by pages, with one row of the old page left."""
        if by < 0:
            self._stop_following()
        window = self._window
        offset, old = self.cursor - window.top, window.top
        self._scroll(old + by * max(1, self.size.height - 1))
        edge = window.last if by > 0 else window.first
        self.cursor = window.nearest(window.top + offset) if window.top != old else edge

    def action_first(self) -> None:
        """To the start of the log."""
        self._stop_following()
        if self._window.at_start and self._window.rows:
            self._scroll(self._window.first)
            self.cursor = self._window.first
        elif self._index is not None:
            self._window.rows = []
            self._read(ReadRequest(0, anew=True))

    def action_last(self) -> None:
        """To the end of the log."""
        if self._window.at_end and self._window.rows:
            self._scroll(self._window.last)
            self.cursor = self._window.last
        elif self._index is not None:
            self._read(ReadRequest(self._index.line_count, at_end=True))

    def _wheel(self, by: int) -> None:
        if by < 0:
            self._stop_following()
        self._scroll(self._window.top + by)
        self.cursor = max(self._window.top, min(self.cursor, self._window.top + self._height - 1))

    def _stop_following(self) -> None:
        if self.follow:
            self.follow = False
            self.post_message(self.StateChanged())

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the click was."""
        number = self._window.top + event.get_content_offset_capture(self).y
        if self._window.row(number) is not None:
            self.cursor = number

    def on_resize(self, event: events.Resize) -> None:
        """More rows may be visible, and broken lines are broken elsewhere."""
        del event
        if self._index is None:
            return
        if self._request is not None:
            # The requested rows are not available yet.
            self._read(self._request)
            return
        if self.wrap:
            self._again()
            return
        at_end = self.follow or (self._window.at_end and self.cursor >= self._window.last)
        self._read(ReadRequest(self._index.line_count if at_end else self._top_line, at_end=at_end))


def _rows(index: LogIndex, request: ReadRequest, around: int, row_format: RowFormat) -> Rows:
    """The rows around the requested position; the end is known after the whole log is indexed."""
    if request.at_end:
        while index.extend(PIECE_BYTES):
            pass
    return rows_around(index, index.line_count if request.at_end else request.line, around, around, row_format)
