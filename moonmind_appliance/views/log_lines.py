"""Splits the bytes of a log into lines."""

from collections.abc import Iterator

LONGEST_LINE = 64 * 1024

# https://www.rfc-editor.org/rfc/rfc3629: the first byte of a character of several begins with 11, the others with 10.
_UTF8_FIRST = 0b1100_0000
_UTF8_LATER = 0b1000_0000


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
