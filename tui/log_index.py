"""Finds the starts of a log's lines without storing them: 100 MB open at once. Independent of Textual."""

import os
import re
import threading
from bisect import bisect_left
from pathlib import Path
from typing import Self

from moonmind_appliance.errors import StoreError
from moonmind_appliance.views.log_lines import LONGEST_LINE

BLOCK = 64 * 1024

_PIECE = 1024 * 1024
# Longest match, in bytes, that can cross the boundary of two pieces.
_OVERLAP = 4096


class LogIndex:
    """A file of lines that may grow. Reads from disk, so call it in a thread; safe in parallel.

    It stores, for every block of 64 KiB, how many lines end before it. One block is then enough to find a line of
    any length.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            StoreError: it cannot be read.
        """
        self._lock = threading.Lock()
        self._ends = [0]
        self._size = 0
        self._partial = False
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise StoreError(f"The log {path} cannot be read: {error.strerror}.") from error

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Bytes that were indexed."""
        return self._size

    @property
    def line_count(self) -> int:
        """Lines in those bytes; the last one may still be growing."""
        return self._ends[-1] + self._partial

    def extend(self, most_bytes: int | None = None) -> bool:
        """Index the bytes that were written since the last call, up to a limit.

        Returns:
            True if there were new bytes.
        """
        with self._lock:
            end = os.fstat(self._file).st_size if self._file >= 0 else 0
            if most_bytes is not None:
                end = min(end, self._size + most_bytes)
            grown = end > self._size
            while self._size < end:
                # Read whole blocks, except the last one.
                room = BLOCK - self._size % BLOCK
                data = self._read(self._size, min(room if room < BLOCK else _PIECE, end - self._size))
                if not data:
                    break
                self._add(data)
            return grown

    def _add(self, data: bytes) -> None:
        for start in range(0, len(data), BLOCK):
            block = data[start : start + BLOCK]
            found = block.count(b"\n")
            if self._size % BLOCK:
                self._ends[-1] += found
            else:
                self._ends.append(self._ends[-1] + found)
            self._size += len(block)
        self._partial = not data.endswith(b"\n")

    def offset_of(self, line: int) -> int:
        """The offset of line `line`, counted from 0; the size of the file for a line after the last."""
        if line <= 0:
            return 0
        with self._lock:
            if line > self._ends[-1]:
                return self._size
            # The newline that ends the line before is in this block.
            block = bisect_left(self._ends, line) - 1
            data = self._read(block * BLOCK, BLOCK)
            place = -1
            for _ in range(line - self._ends[block]):
                place = data.find(b"\n", place + 1)
            return block * BLOCK + place + 1

    def line_at(self, offset: int) -> int:
        """The line that contains that byte."""
        with self._lock:
            block = min(offset // BLOCK, len(self._ends) - 1)
            data = self._read(block * BLOCK, offset - block * BLOCK)
            return self._ends[block] + data.count(b"\n")

    def read(self, first: int, count: int) -> list[bytes]:
        """Lines without their line breaks, each cut to `LONGEST_LINE` bytes."""
        lines: list[bytes] = []
        count = min(count, self.line_count - first)
        offset = self.offset_of(first)
        data = b""
        while len(lines) < count:
            place = data.find(b"\n")
            if place >= 0:
                lines.append(data[: min(place, LONGEST_LINE)])
                offset += place + 1
                data = data[place + 1 :]
            elif len(data) >= LONGEST_LINE:
                lines.append(data[:LONGEST_LINE])
                offset, data = self.offset_of(first + len(lines)), b""
            else:
                with self._lock:
                    more = self._read(offset + len(data), min(BLOCK, self._size - offset - len(data)))
                if not more:
                    lines.append(data)
                    break
                data += more
        return lines

    def search(self, needle: bytes, offset: int, *, forward: bool = True) -> int | None:
        """The byte at which the text is found, from `offset` on or before it; ASCII letters in any case."""
        wanted = needle.lower()
        if not wanted:
            return None
        if forward:
            while offset < self._size:
                data = self._piece(offset, _PIECE + len(wanted) - 1).lower()
                place = data.find(wanted)
                if place >= 0:
                    return offset + place
                offset += _PIECE
            return None
        end = min(offset, self._size)
        while end > 0:
            start = max(0, end - _PIECE)
            # A match that begins before `end` may extend beyond it.
            data = self._piece(start, end - start + len(wanted) - 1).lower()
            place = data.rfind(wanted, 0, end - start + len(wanted) - 1)
            if place >= 0:
                return start + place
            end = start
        return None

    def find(self, pattern: re.Pattern[bytes], offset: int = 0) -> int | None:
        """The byte at which the pattern is found first, from `offset` on; it must not be longer than 4 KiB."""
        while offset < self._size:
            match = pattern.search(self._piece(offset, _PIECE + _OVERLAP))
            if match:
                return offset + match.start()
            offset += _PIECE
        return None

    def count(self, needle: bytes, *, before: int | None = None) -> int:
        """How often the text is in the log, or in its first `before` bytes."""
        wanted, end = needle.lower(), self._size if before is None else before
        return sum(
            self._piece(offset, min(_PIECE, end - offset) + len(wanted) - 1).lower().count(wanted)
            for offset in range(0, end, _PIECE)
        )

    def _piece(self, offset: int, length: int) -> bytes:
        with self._lock:
            return self._read(offset, min(length, self._size - offset))

    def _read(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._file, max(0, length), offset) if self._file >= 0 else b""
        except OSError as error:
            raise StoreError(f"The log cannot be read: {error.strerror}.", hint="Check the disk.") from error
