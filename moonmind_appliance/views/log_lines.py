"""Reads lines of a log file of any size by their byte offset, without reading the rest of the file.

Places are byte offsets. A line longer than `LONGEST_LINE` bytes comes in pieces, each a line of its own.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.errors import StoreError

LONGEST_LINE = 64 * 1024

_READ = 256 * 1024
# https://www.rfc-editor.org/rfc/rfc3629: the first byte of a character of several begins with 11, the others with 10.
_UTF8_FIRST = 0b1100_0000
_UTF8_LATER = 0b1000_0000


class LogLine(NamedTuple):
    """A line without its line break; it occupies the bytes from `start` up to `end`, where the next one begins."""

    start: int
    end: int
    text: str


class LogPage(NamedTuple):
    """Some lines in order, and the size of the file, in bytes, when they were read."""

    lines: tuple[LogLine, ...]
    size: int


def lines_from(
    files: ArtifactFiles, storage_path: str, start: int = 0, *, limit: int = 200, whole: bool = True
) -> LogPage:
    """At most `limit` lines from the byte `start` on, the beginning of a line.

    Args:
        files: the artifact files.
        storage_path: the log, as a phase or an artifact names it.
        start: a line's `end`, or 0.
        limit: how many lines.
        whole: the file does not grow any more: its last line counts also without a line break.

    Raises:
        NotFound: `artifact_gone`: the file is not there (any more).
        StoreError: it cannot be read.
    """
    lines: list[LogLine] = []
    with _opened(files, storage_path) as file:
        size = os.fstat(file).st_size
        while len(lines) < limit and (data := os.pread(file, _READ, start)):
            at_end = start + len(data) >= size
            before = start
            for text, taken in split_lines(data, whole=whole and at_end):
                lines.append(LogLine(start, start + taken, text))
                start += taken
                if len(lines) == limit:
                    break
            if start == before:
                break
    return LogPage(tuple(lines), size)


def lines_before(
    files: ArtifactFiles, storage_path: str, end: int | None = None, *, limit: int = 200, whole: bool = True
) -> LogPage:
    """At most `limit` lines that end at the byte `end` (None: at the end of the file), in order.

    Arguments and errors are those of `lines_from`. Without `whole`, an unfinished last line of the file is left out.
    """
    lines: list[LogLine] = []
    with _opened(files, storage_path) as file:
        size = os.fstat(file).st_size
        end = size if end is None else min(end, size)
        window = _Window(file, end)
        if not whole and end == size:
            end = window.line_start(end + 1, 0)
        while end > 0 and len(lines) < limit:
            start = window.line_start(end, end - LONGEST_LINE)
            lines.append(LogLine(start, end, _text(window.bytes(start, end))))
            end = start
    return LogPage(tuple(reversed(lines)), size)


def line_start(files: ArtifactFiles, storage_path: str, place: int) -> int:
    """The offset at which the line (or the piece of a long line) with the byte `place` begins.

    Raises:
        NotFound: `artifact_gone`: the file is not there (any more).
        StoreError: it cannot be read.
    """
    with _opened(files, storage_path) as file:
        size = os.fstat(file).st_size
        if not size:
            return 0
        place = max(0, min(place, size - 1))
        return _Window(file, place + 1).line_start(place + 1, place + 1 - LONGEST_LINE)


class _Window:
    """The bytes before a place of a file, read backwards in blocks on demand."""

    def __init__(self, file: int, end: int) -> None:
        self._file = file
        self._start = end
        self._data = b""

    def bytes(self, start: int, end: int) -> bytes:
        """The bytes of that range; `end` is at most the end of the window."""
        self._reach(start)
        return self._data[start - self._start : end - self._start]

    def line_start(self, end: int, lowest: int) -> int:
        """The beginning of the line that ends at `end`, but no place before `lowest`, where a character begins then."""
        lowest = max(0, lowest)
        low = max(lowest, end - 1 - _READ)
        while True:
            self._reach(low)
            # The byte at end - 1 may be the line's own line break.
            found = self._data.rfind(b"\n", low - self._start, end - 1 - self._start)
            if found >= 0:
                return self._start + found + 1
            if low == lowest:
                break
            low = max(lowest, low - _READ)
        if lowest and self.bytes(lowest - 1, lowest) != b"\n":
            while lowest < end - 1 and self.bytes(lowest, lowest + 1)[0] & _UTF8_FIRST == _UTF8_LATER:
                lowest += 1
        return lowest

    def _reach(self, start: int) -> None:
        while start < self._start:
            size = min(_READ, self._start)
            block = os.pread(self._file, size, self._start - size)
            if len(block) < size:
                raise OSError("the file was truncated during the read")
            self._data = block + self._data
            self._start -= size


@contextmanager
def _opened(files: ArtifactFiles, storage_path: str) -> Iterator[int]:
    path = files.path(storage_path)
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield file
        finally:
            os.close(file)
    except OSError as error:
        raise StoreError(f"The log {path} cannot be read: {error.strerror or error}.") from error


def _text(data: bytes) -> str:
    if data.endswith(b"\n"):
        data = data[:-1].removesuffix(b"\r")
    return data.decode(errors="replace")


def split_lines(data: bytes, *, whole: bool) -> Iterator[tuple[str, int]]:
    """Lines without their line break, and the bytes that each occupied.

    A line longer than `LONGEST_LINE` comes in pieces. An unfinished last line comes only when the data is `whole`.
    """
    start = 0
    while start < len(data):
        end = data.find(b"\n", start, start + LONGEST_LINE)
        if end >= 0:
            yield data[start:end].decode(errors="replace").removesuffix("\r"), end + 1 - start
            start = end + 1
            continue
        piece = data[start : start + LONGEST_LINE]
        if len(piece) < LONGEST_LINE:
            if whole:
                yield piece.decode(errors="replace"), len(piece)
            return
        piece = piece[: _character_end(piece)]
        yield piece.decode(errors="replace"), len(piece)
        start += len(piece)


def _character_end(piece: bytes) -> int:
    """The offset at which the last complete UTF-8 character of a full piece ends."""
    for back in range(1, 4):
        if piece[-back] & _UTF8_FIRST == _UTF8_FIRST:
            return len(piece) - back
        if piece[-back] < _UTF8_LATER:
            break
    return len(piece)
