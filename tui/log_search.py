"""Search in a log, in the words that a person sees. Reads from disk, so call it in a thread."""

import re
from contextlib import suppress
from typing import NamedTuple

from tui.log_index import LogIndex
from tui.log_page import How, rows_around

ERROR_IN_TEXT = re.compile(rb"(?i)\b(?:error|fatal|failed|failure|panic|traceback|exception|denied|refused)\b")
ERROR_IN_EVENTS = re.compile(rb'"type": ?"(?:error|turn\.failed)"|"exit_code": ?-?[1-9]')


class Found(NamedTuple):
    """A place of the searched text: its line and byte, and which one of how many it is (0: not counted)."""

    line: int
    place: int
    number: int = 0
    total: int = 0


def search(index: LogIndex, needle: str, line: int, step: int, how: How) -> Found | None:
    """The next line that shows the text, once around the log."""
    with suppress(OSError):
        while index.extend():
            pass
    # In an event the text is inside a JSON string.
    escaped = needle.replace("\\", "\\\\").replace('"', '\\"') if how.events else needle
    wanted = escaped.encode()
    start = index.offset_of(line + 1) if step > 0 else index.offset_of(line)
    place = index.search(wanted, start, forward=step > 0)
    around = False
    while True:
        if place is None:
            if around:
                return None
            around = True
            place = index.search(wanted, 0 if step > 0 else index.size, forward=step > 0)
            if place is None:
                return None
        found = index.line_at(place)
        if not how.events or _shown_in(index, found, needle, how):
            return Found(found, place)
        if around and (found >= line if step > 0 else found <= line):
            return None
        place = index.search(
            wanted, index.offset_of(found + 1) if step > 0 else index.offset_of(found), forward=step > 0
        )


def counted(index: LogIndex, needle: str, found: Found) -> Found:
    """The same place, with which one of how many it is: takes as long as reading the log."""
    wanted = needle.encode()
    return found._replace(number=index.count(wanted, before=found.place) + 1, total=index.count(wanted))


def _shown_in(index: LogIndex, line: int, needle: str, how: How) -> bool:
    """Whether the words of that event contain the text."""
    rows = rows_around(index, line, 0, 1, How(0, how.events)).rows
    wanted = needle.casefold()
    return any(wanted in row.text.casefold() for row in rows if row.line == line)


def first_error(index: LogIndex, pattern: re.Pattern[bytes]) -> int | None:
    """The first line that the pattern is found in."""
    with suppress(OSError):
        while index.extend():
            pass
    place = index.find(pattern)
    return None if place is None else index.line_at(place)
