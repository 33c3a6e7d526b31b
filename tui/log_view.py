"""Shows a log of any size: a thread reads only the rows around the visible ones."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scrollbar import ScrollDown, ScrollTo, ScrollUp
from textual.selection import Selection
from textual.strip import Strip

from moonmind_appliance.errors import ApplianceError, StoreError
from tui.lines import MOST_COPIED_LINES, Lines
from tui.log_index import LogIndex
from tui.log_page import WIDEST, Row, RowFormat, Rows, rows_around
from tui.log_search import ERROR_IN_EVENTS, ERROR_IN_TEXT, Found, counted, first_error, search
from tui.screens.page import page_of

# The first lines appear at once; the rest is indexed in pieces, so that reads never wait long.
_FIRST_BYTES = 4 * 1024 * 1024
_PIECE_BYTES = 16 * 1024 * 1024
# The numbers of rows do not change when others are read before and after them.
_MIDDLE = 1 << 40
_PAGES_AROUND = 3


class ReadRequest(NamedTuple):
    """What to show after rows are read: that line at the top, or the end of the log at the bottom.

    `anew`: ignore the position of the rows that are shown. `cursor`: the line for the cursor, shown anywhere.
    """

    line: int
    at_end: bool = False
    anew: bool = False
    cursor: int | None = None


class LogView(Lines):
    """Shows one log at a time.

    `open` may be called again for another log. Threads do all reads; until the rows are available, the old ones
    stay. `poll` checks whether the log has grown.
    """

    class StateChanged(Message):
        """The value of `state` may have changed."""

    class Searched(Message):
        """A search has ended."""

        def __init__(self, *, found: bool) -> None:
            super().__init__()
            self.found = found

    class NoError(Message):
        """No line reports an error."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.follow = False
        self.wrap = False
        self.raw = False
        self._index: LogIndex | None = None
        self._path: Path | None = None
        self._events = False
        self._rows: list[Row] = []
        self._first = _MIDDLE  # the number of the first row
        self._top = _MIDDLE  # the number of the row at the top
        self._at_start = self._at_end = True
        self._found: Found | None = None
        self._problem = ""
        self._request: ReadRequest | None = None
        self._searches: list[tuple[str, int]] = []
        self._looking = False  # for the first error

    # For the page to call.

    def open(self, path: Path | None, *, events_in_it: bool, follow: bool, from_end: bool = False) -> None:
        """Show this log, from its start or its end; following begins at the end. The same log again changes nothing."""
        if path == self._path and (self._index is not None or path is None):
            return
        self._path, self._events, self.follow = path, events_in_it, follow
        self._close()
        self._found, self._problem, self._request = None, "", None
        self._searches.clear()
        self._looking = False
        if path is None:
            self._take_nothing()
            return
        page_of(self).run_in_background(
            "log-open", partial(_opened, path), partial(self._open_done, path, follow or from_end), self._open_failed
        )

    def poll(self) -> None:
        """Check whether the log has grown; call it a few times a second while the run is running."""
        if self._index is not None:
            page_of(self).run_in_background("log-poll", partial(self._index.extend, _PIECE_BYTES), self._extended)

    @property
    def state(self) -> str:
        """The position as text: `118-124 of 124 lines`."""
        if self._problem:
            return self._problem
        if self._index is None:
            return ""
        if not self._rows:
            return "" if self._index.line_count else "no output"
        top = max(0, self._index_of(self._top))
        bottom = top + max(1, self.size.height) - 1
        total = self._index.line_count
        # After the last row there may be events without text.
        ends = bottom >= len(self._rows) - 1
        last = total if ends and self._at_end else self._rows[min(bottom, len(self._rows) - 1)].line + 1
        searching = "  searching …" if self._searches or self._looking else ""
        return f"{self._rows[top].line + 1:,}-{last:,} of {total:,}{searching}"

    @property
    def found(self) -> Found | None:
        """The match of the last search."""
        return self._found

    @property
    def shows_events(self) -> bool:
        """Whether the log contains Codex's events."""
        return self._events

    def set_follow(self, follow: bool) -> None:  # noqa: FBT001 - the value of a switch
        """Follow the end of the log, or not."""
        self.follow = follow
        if follow:
            self.action_last()
        self.post_message(self.StateChanged())

    def set_wrap(self, wrap: bool) -> None:  # noqa: FBT001 - the value of a switch
        """Wrap long lines, or cut them."""
        self.wrap = wrap
        self.scroll_to(x=0, animate=False)
        self._again()

    def set_raw(self, raw: bool) -> None:  # noqa: FBT001 - the value of a switch
        """Show Codex's events as JSON, or as text."""
        self.raw = raw
        self._again()

    def search(self, needle: str, step: int) -> None:
        """Go to the next match (1) or the previous one (-1); then `Searched` is posted.

        A search waits for the one before it, and begins where that one ends.
        """
        self.show_needle(needle)
        index = self._index
        if index is None or not needle:
            self.post_message(self.Searched(found=False))
            return
        self._searches.append((needle, step))
        if len(self._searches) == 1:
            self.post_message(self.StateChanged())
            self._next_search(index)

    def _next_search(self, index: LogIndex) -> None:
        needle, step = self._searches[0]
        work = partial(search, index, needle, self._cursor_line, step, self._row_format)
        page_of(self).run_in_background("log-search", work, partial(self._search_done, index), self._search_failed)

    def _search_failed(self, error: ApplianceError) -> None:
        self._searches.clear()
        page_of(self).show_error(error)

    def _search_done(self, index: LogIndex, found: Found | None) -> None:
        if index is not self._index:
            return
        needle, _ = self._searches.pop(0)
        self._found = found
        if found is not None:
            self.follow = False
            self._show_line(found.line)
        self.post_message(self.StateChanged())
        self.post_message(self.Searched(found=found is not None))
        if self._searches:
            self._next_search(index)
        elif found is not None and not self._row_format.events:
            page_of(self).run_in_background("log-count", partial(counted, index, needle, found), self._count_done)

    def _count_done(self, found: Found) -> None:
        if self._found is not None and self._found.offset == found.offset:
            self._found = found
            self.post_message(self.StateChanged())

    def first_error(self) -> None:
        """Go to the first line that reports an error; if there is none, `NoError` is posted."""
        index = self._index
        if index is None:
            self.post_message(self.NoError())
            return
        pattern = ERROR_IN_EVENTS if self._events else ERROR_IN_TEXT

        def finished(line: int | None) -> None:
            if index is not self._index:
                return
            self._looking = False
            self.post_message(self.StateChanged())
            if line is not None:
                self.follow = False
                self._show_line(line)
            else:
                self.post_message(self.NoError())

        self._looking = True
        self.post_message(self.StateChanged())
        page_of(self).run_in_background("log-error", partial(first_error, index, pattern), finished)

    def copied_line(self) -> str:
        """The text under the cursor, with wrapped rows joined."""
        place = self._index_of(self.cursor)
        if not 0 <= place < len(self._rows):
            return ""
        first = place
        while first > 0 and self._rows[first].broken:
            first -= 1
        last = first + 1
        while last < len(self._rows) and self._rows[last].broken:
            last += 1
        return "".join(row.text for row in self._rows[first:last])

    # Opening and growing.

    def _close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None

    def on_unmount(self) -> None:
        """Close the log."""
        self._close()

    def _open_done(self, path: Path, at_end: bool, index: LogIndex) -> None:  # noqa: FBT001 - bound by partial
        if path != self._path or not self.is_attached:
            index.close()
            return
        self._index = index
        # Anew: the current rows are from the previous log.
        self._read(ReadRequest(index.line_count if at_end else 0, at_end=at_end, anew=True))
        self.poll()

    def _open_failed(self, error: Exception) -> None:
        self._problem = str(error)
        self._take_nothing()

    def _take_nothing(self) -> None:
        self._rows, self._at_start, self._at_end = [], True, True
        self.refresh()
        self.post_message(self.StateChanged())

    def _extended(self, grown: bool) -> None:  # noqa: FBT001 - an answer
        if not grown or self._index is None:
            return
        if self._request is not None:
            # Serve the pending request for rows first, and do not lose its parameters.
            self._set_scrollbar()
        elif self.follow:
            self._read(ReadRequest(self._index.line_count, at_end=True))
        elif self._at_end:
            self._read(ReadRequest(self._line_of(self._top)))
        else:
            self._set_scrollbar()
            self.post_message(self.StateChanged())
        # The log may not be indexed completely.
        self.poll()

    # Reading rows.

    @property
    def _row_format(self) -> RowFormat:
        return RowFormat(self.line_width if self.wrap else 0, self._events and not self.raw)

    def _again(self) -> None:
        """Read the same position again, as rows of another kind."""
        line = self._line_of(self._top)
        self._rows = []
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
        old_rows, old_first = self._rows, self._first
        self._rows, self._at_start, self._at_end = read.rows, read.at_start, read.at_end
        first = self._renumbered(old_rows, old_first)
        self._first = _MIDDLE if first is None else first
        height = max(1, self.size.height)
        last = self._first + len(self._rows) - 1
        if request.at_end or (self.follow and read.at_end):
            self._top = max(self._first, last - height + 1)
            self.cursor = max(self._first, last)
        elif request.cursor is not None:
            target = self._number_of(request.cursor)
            if not self._top <= target < self._top + height or request.anew:
                self._top = max(self._first, target - height // 2)
            self.cursor = target
        elif request.anew or first is None:
            self._top = self._number_of(request.line)
            self.cursor = self._top
        self._clamp()
        self.widest = 0 if self.wrap else WIDEST
        self._set_scrollbar()
        self.refresh()
        self.post_message(self.StateChanged())

    def _renumbered(self, old_rows: list[Row], old_first: int) -> int | None:
        """The number of the first row, so that a row that was known before keeps its number; None if none was."""
        known = {row.position: number for number, row in enumerate(old_rows, old_first)}
        for number, row in enumerate(self._rows):
            if row.position in known:
                return known[row.position] - number
        return None

    def _number_of(self, line: int) -> int:
        """The number of the first row of that line, or of the next line with rows."""
        for number, row in enumerate(self._rows, self._first):
            if row.line >= line:
                return number
        return self._first + max(0, len(self._rows) - 1)

    def _index_of(self, number: int) -> int:
        return number - self._first

    def _line_of(self, number: int) -> int:
        if not self._rows:
            return 0
        return self._rows[max(0, min(self._index_of(number), len(self._rows) - 1))].line

    @property
    def _cursor_line(self) -> int:
        if self._request is not None and self._request.cursor is not None:
            # It moves there after the rows are read.
            return self._request.cursor
        return self._line_of(self.cursor)

    def _clamp(self) -> None:
        last = self._first + len(self._rows) - 1
        self._top = max(self._first, min(self._top, last - max(1, self.size.height) + 1))
        self.cursor = max(self._first, min(self.cursor, max(self._first, last)))

    def _set_scrollbar(self) -> None:
        """Set the scroll bar, whose unit is lines, not rows."""
        if self._index is None:
            return
        wanted = Size(self.widest, self._index.line_count + max(0, self.size.height - 1))
        if self.virtual_size != wanted:
            self.virtual_size = wanted
        self.scroll_to(y=self._line_of(self._top), animate=False, force=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """The scroll bar follows the rows; it does not move them."""
        del old_value
        if self.show_vertical_scrollbar:
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
        return len(self._rows)

    def plain(self, y: int) -> str:
        """The text of a row."""
        index = self._index_of(y)
        return self._rows[index].text if 0 <= index < len(self._rows) else ""

    def line(self, y: int) -> Text:
        """A row in its colour."""
        row = self._rows[self._index_of(y)]
        return Text(row.text, page_of(self).tui.palette.tone(row.tone), no_wrap=True, end="")

    @property
    def match_style(self) -> Style:
        """The theme's."""
        return page_of(self).tui.palette.match

    def render_line(self, y: int) -> Strip:
        """One visible row."""
        number = self._top + y
        base = self.rich_style
        if not 0 <= self._index_of(number) < len(self._rows):
            return Strip.blank(self.size.width, base)
        scroll_x = 0 if self.wrap else self.scroll_offset.x
        return self.paint(self.line(number), number, scroll_x, base, cursor=number == self.cursor)

    def lines_changed(self) -> None:
        """Repaint everything."""
        self.refresh()

    def _paint_rows(self, *numbers: int) -> None:
        for number in numbers:
            if self._top <= number < self._top + self.size.height:
                self.refresh(Region(0, number - self._top, self.size.width, 1))

    def watch_cursor(self, old: int, new: int) -> None:
        """Repaint the two rows."""
        self._paint_rows(old, new)
        self.post_message(self.CursorMoved(self))

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text of the rows that are known."""
        last_row = self._first + len(self._rows) - 1
        first = max(self._first, selection.start.y if selection.start else self._first)
        last = min(last_row, selection.end.y if selection.end else last_row, first + MOST_COPIED_LINES - 1)
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
        if self._rows and self._rows[0].line <= line <= self._rows[-1].line:
            self.go_to(self._number_of(line))
        else:
            self._rows = []
            self._read(ReadRequest(line, anew=True, cursor=line))

    def _scroll(self, top: int) -> None:
        """Show that row at the top, and read more when the known rows come to an end."""
        height = max(1, self.size.height)
        last = self._first + len(self._rows) - 1
        top = max(self._first, min(top, last - height + 1))
        if top != self._top:
            self._top = top
            self._set_scrollbar()
            self.refresh()
            self.post_message(self.StateChanged())
        short_above = top - self._first < height and not self._at_start
        short_below = last - top < 2 * height and not self._at_end
        if (short_above or short_below) and self._request is None:
            self._read(ReadRequest(self._line_of(top)))

    def go_to(self, y: int, *, middle: bool = False) -> None:
        """Put the cursor on a row that is known, and show it."""
        del middle
        if not self._rows:
            return
        height = max(1, self.size.height)
        y = max(self._first, min(y, self._first + len(self._rows) - 1))
        if not self._top <= y < self._top + height:
            self._scroll(y - height // 2)
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
        offset, old = self.cursor - self._top, self._top
        self._scroll(self._top + by * max(1, self.size.height - 1))
        last = self._first + len(self._rows) - 1
        edge = last if by > 0 else self._first
        self.cursor = max(self._first, min(self._top + offset, last)) if self._top != old else edge

    def action_first(self) -> None:
        """To the start of the log."""
        self._stop_following()
        if self._at_start and self._rows:
            self._scroll(self._first)
            self.cursor = self._first
        elif self._index is not None:
            self._rows = []
            self._read(ReadRequest(0, anew=True))

    def action_last(self) -> None:
        """To the end of the log."""
        if self._at_end and self._rows:
            last = self._first + len(self._rows) - 1
            self._scroll(last)
            self.cursor = last
        elif self._index is not None:
            self._read(ReadRequest(self._index.line_count, at_end=True))

    def _wheel(self, by: int) -> None:
        if by < 0:
            self._stop_following()
        self._scroll(self._top + by)
        self.cursor = max(self._top, min(self.cursor, self._top + max(1, self.size.height) - 1))

    def _stop_following(self) -> None:
        if self.follow:
            self.follow = False
            self.post_message(self.StateChanged())

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the click was."""
        number = self._top + event.get_content_offset_capture(self).y
        if 0 <= self._index_of(number) < len(self._rows):
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
        at_end = self.follow or (self._at_end and self.cursor >= self._first + len(self._rows) - 1)
        self._read(ReadRequest(self._index.line_count if at_end else self._line_of(self._top), at_end=at_end))


def _rows(index: LogIndex, request: ReadRequest, around: int, row_format: RowFormat) -> Rows:
    """The rows around the requested position; the end is known after the whole log is indexed."""
    if request.at_end:
        while index.extend(_PIECE_BYTES):
            pass
    return rows_around(index, index.line_count if request.at_end else request.line, around, around, row_format)


def _opened(path: Path) -> LogIndex:
    index = LogIndex(path)
    try:
        index.extend(_FIRST_BYTES)
    except OSError as error:
        index.close()
        raise StoreError(f"The log {path} cannot be read: {error.strerror}.") from error
    return index
