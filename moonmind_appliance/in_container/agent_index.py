"""Reads the skip-worktree entries from the index of the agent's own `.git`: files that its Git does not check out.

With a sparse checkout these files are missing in the work tree, but the agent did not delete them. This module reads
the index instead of Git, because the agent may have written anything into it: https://git-scm.com/docs/index-format
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from moonmind_appliance.in_container.shared import read_regular

_LARGEST_INDEX = 64 * 1024 * 1024
# Prefix compression lets a small index describe long names: limit one name (Linux's PATH_MAX), and all names together.
_LONGEST_NAME, _MOST_NAME_BYTES = 4096, 64 * 1024 * 1024
_HEADER = struct.Struct(">4sII")
# Bytes before an entry's flags: times, device, inode, mode, owner, size, and the SHA-1.
_BEFORE_FLAGS = 60
_EXTENDED, _SKIP_WORKTREE = 0x4000, 0x4000
_SHORTEST_ENTRY = _BEFORE_FLAGS + 2
_WITH_PREFIXES = 4


def not_checked_out(worktree: Path) -> set[str]:
    """The paths that the agent's Git skips; empty if the index cannot be read or has an unknown format."""
    if (worktree / ".git").is_symlink():
        return set()
    content = read_regular(worktree / ".git" / "index", _LARGEST_INDEX)
    if content is None:
        return set()
    try:
        return set(_skipped(content))
    except (struct.error, ValueError, IndexError):
        return set()


def _skipped(content: bytes) -> Iterator[str]:
    signature, version, count = _HEADER.unpack_from(content)
    if signature != b"DIRC" or version not in (2, 3, _WITH_PREFIXES) or count > len(content) // _SHORTEST_ENTRY:
        return
    at, name, bytes_left = _HEADER.size, b"", _MOST_NAME_BYTES
    for _ in range(count):
        (flags,) = struct.unpack_from(">H", content, at + _BEFORE_FLAGS)
        begin = at + _SHORTEST_ENTRY
        extended = 0
        if flags & _EXTENDED:
            (extended,) = struct.unpack_from(">H", content, begin)
            begin += 2
        kept = b""
        if version == _WITH_PREFIXES:
            removed, begin = _number(content, begin)
            kept = name[: len(name) - removed] if removed <= len(name) else b""
        end = content.index(b"\0", begin)
        name = kept + content[begin:end]
        if len(name) > _LONGEST_NAME:
            raise ValueError("a name is too long")
        if extended & _SKIP_WORKTREE:
            bytes_left -= len(name)
            if bytes_left < 0:
                raise ValueError("the names are too long")
            yield name.decode(errors="surrogateescape")
        # Up to version 3, one to eight NULs pad an entry to a multiple of eight bytes.
        at = end + 1 if version == _WITH_PREFIXES else at + ((end - at) // 8 + 1) * 8


def _number(content: bytes, at: int) -> tuple[int, int]:
    """A variable-length number, encoded as in the offsets of a pack file, and the position after it."""
    value = content[at] & 0x7F
    while content[at] & 0x80:
        at += 1
        value = ((value + 1) << 7) | (content[at] & 0x7F)
    return value, at + 1
