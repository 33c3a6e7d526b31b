"""Shows a log: opens it, follows its end, searches it."""

from functools import partial
from pathlib import Path

from textual.message import Message

from moonmind_appliance.errors import ApplianceError, StoreError
from tui.log_index import LogIndex
from tui.log_page import Rows
from tui.log_rows import PIECE_BYTES, LogRows, ReadRequest
from tui.log_search import ERROR_IN_EVENTS, ERROR_IN_TEXT, Found, counted, first_error, search
from tui.screens.page import page_of

# The first lines appear at once.
_FIRST_BYTES = 4 * 1024 * 1024


class LogView(LogRows):
    """Shows one log at a time.

    `open` may be called again for another log. Threads do all reads; until the rows are available, the old ones
    stay. `poll` checks whether the log has grown.
    """

    class Searched(Message):
        """A search has ended."""

        def __init__(self, *, found: bool) -> None:
            super().__init__()
            self.found = found

    class NoError(Message):
        """No line reports an error."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._path: Path | None = None
        self._found: Found | None = None
        self._problem = ""
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
            page_of(self).run_in_background("log-poll", partial(self._index.extend, PIECE_BYTES), self._extended)

    @property
    def state(self) -> str:
        """The position as text: `118-124 of 124 lines`."""
        if self._problem:
            return self._problem
        if self._index is None:
            return ""
        window = self._window
        if not window.rows:
            return "" if self._index.line_count else "no output"
        bottom = max(window.first, window.top) + self._height - 1
        total = self._index.line_count
        # After the last row there may be events without text.
        last = total if bottom >= window.last and window.at_end else window.line_of(bottom) + 1
        searching = "  searching …" if self._searches or self._looking else ""
        return f"{window.line_of(window.top) + 1:,}-{last:,} of {total:,}{searching}"

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
        return self._window.whole_line(self.cursor)

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
        self._window.replace(Rows([], at_start=True, at_end=True))
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
        elif self._window.at_end:
            self._read(ReadRequest(self._top_line))
        else:
            self._set_scrollbar()
            self.post_message(self.StateChanged())
        # The log may not be indexed completely.
        self.poll()


def _opened(path: Path) -> LogIndex:
    index = LogIndex(path)
    try:
        index.extend(_FIRST_BYTES)
    except OSError as error:
        index.close()
        raise StoreError(f"The log {path} cannot be read: {error.strerror}.") from error
    return index
