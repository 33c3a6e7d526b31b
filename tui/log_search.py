"""Searches a log in the text that the user sees. Reads from disk, so call it in a thread."""

import re
from contextlib import suppress
from typing import NamedTuple

from tui.log_index import LogIndex
from tui.log_page import RowFormat, rows_around

ERROR_IN_TEXT = re.compile(rb"(?i)\b(?:error|fatal|failed|failure|panic|traceback|exception|denied|refused)\b")
ERROR_IN_EVENTS = re.compile(rb'"type": ?"(?:error|turn\.failed)"|"exit_code": ?-?[1-9]')


class Found(NamedTuple):
    """A match: its line and byte, its number, and the number of matches (0: not counted)."""

    line: int
    offset: int
    number: int = 0
    total: int = 0


def search(index: LogIndex, needle: str, line: int, step: int, row_format: RowFormat) -> Found | None:
    """The next line that shows the text, with wrap-around."""
    with suppress(OSError):
        while index.extend():
            pass
    # In an event the text is inside a JSON string.
    escaped = needle.replace("\\", "\\\\").replace('"', '\\"') if row_format.events else needle
    wanted = escaped.encode()
    start = index.offset_of(line + 1) if step > 0 else index.offset_of(line)
    offset = index.search(wanted, start, forward=step > 0)
    around = False
    while True:
        if offset is None:
            if around:
                return None
            around = True
            offset = index.search(wanted, 0 if step > 0 else index.size, forward=step > 0)
            if offset is None:
                return None
        found = index.line_at(offset)
        if not row_format.events or _shown_in(index, found, needle, row_format):
            return Found(found, offset)
        if around and (found >= line if step > 0 else found <= line):
            return None
        offset = index.search(
            wanted, index.offset_of(found + 1) if step > 0 else index.offset_of(found), forward=step > 0
        )


def counted(index: LogIndex, needle: str, found: Found) -> Found:
    """The same match with its number and the number of matches: takes as long as reading the log."""
    wanted = needle.encode()
    return found._replace(number=index.count(wanted, before=found.offset) + 1, total=index.count(wanted))


def _shown_in(index: LogIndex, line: int, needle: str, row_format: RowFormat) -> bool:
    """Whether the displayed text of that event contains the text."""
    rows = rows_around(index, line, 0, 1, RowFormat(0, row_format.events)).rows
    wanted = needle.casefold()
    return any(wanted in row.text.casefold() for row in rows if row.line == line)


def first_error(index: LogIndex, pattern: re.Pattern[bytes]) -> int | None:
    """The first line that matches the pattern."""
    with suppress(OSError):
        while index.extend():
            pass
    offset = index.find(pattern)
    return None if offset is None else index.line_at(offset)
