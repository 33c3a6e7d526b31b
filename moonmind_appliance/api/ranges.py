"""Which bytes a request asks for: Range, If-Range and If-None-Match (RFC 9110, sections 13 and 14)."""

import re
from typing import NamedTuple

_ONE_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
# More than any content has: a larger position means the same.
_BEYOND = 10**18


class ByteRange(NamedTuple):
    """Bytes `start` to `end`, both included."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.end - self.start + 1


class Unsatisfiable(Exception):
    """The range begins after the end of the content."""


def wanted_range(header: str | None, if_range: str | None, *, size: int, etag: str) -> ByteRange | None:
    """The range to send; None: the whole content.

    A header that is malformed, in another unit, or has several ranges gets the whole content, as the standard allows.
    `If-Range` matches only the content's own strong tag.

    Raises:
        Unsatisfiable: 416.
    """
    match = _ONE_RANGE.fullmatch(header.replace(" ", "")) if header else None
    if match is None or match[0] == "bytes=-":
        return None
    if if_range is not None and (if_range != etag or etag.startswith("W/")):
        return None
    first, last = match[1], match[2]
    if not first:
        return _suffix(_position(last), size)
    start, end = _position(first), _position(last) if last else size - 1
    if last and end < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return ByteRange(start, min(end, size - 1))


def is_current(if_none_match: str | None, etag: str) -> bool:
    """Whether the caller already has the content with that tag (weak comparison)."""
    if if_none_match is None:
        return False
    given = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in given or etag.removeprefix("W/") in given


def _position(digits: str) -> int:
    """The number, cut to `_BEYOND`: Python refuses to convert thousands of digits."""
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) < len(str(_BEYOND)) else _BEYOND


def _suffix(length: int, size: int) -> ByteRange:
    if length == 0 or size == 0:
        raise Unsatisfiable
    return ByteRange(max(size - length, 0), size - 1)
