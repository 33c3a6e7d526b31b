"""The patch of a change: how it is written and counted, and how Git quotes paths in it."""

import os
import re

from moonmind_appliance.in_container.git import Git

PATCH_NAME = "change.patch"
"""The file in the git container's own folder."""


def write_patch(git: Git, base: str, tree: str, kept: list[dict[str, str]], max_bytes: int) -> int:
    """Write the patch to its file; returns its size in bytes.

    If the files have grown by more than `max_bytes`, no patch is made, and the growth is returned: Git needs several
    times a file's size of memory to show it, and cannot show a file of a gigabyte at all.
    """
    ids = "".join(f"{change['old_id']}\n{change['new_id']}\n" for change in kept).encode()
    sizes = [
        int(line) if line.isdigit() else 0
        for line in git("cat-file", "--batch-check=%(objectsize)", feed=ids).split(b"\n")
    ]
    grown = sum(max(0, new - old) for old, new in zip(sizes[::2], sizes[1::2], strict=False))
    if grown > max_bytes:
        return grown
    plain = ["--no-ext-diff", "--no-textconv", "--no-color", "--no-renames"]
    with (git.private / PATCH_NAME).open("wb") as patch:
        git("diff-tree", "-r", "-p", "--text", "--full-index", *plain, base, tree, into=patch)
        return os.fstat(patch.fileno()).st_size


def added_and_removed(patch: bytes) -> dict[str, tuple[int | None, int | None]]:
    """Lines added and removed by path, counted in a patch without renames; None twice for a binary file."""
    counts: dict[str, tuple[int | None, int | None]] = {}
    for section in re.split(rb"^diff --git ", patch, flags=re.MULTILINE)[1:]:
        head, hunks, body = section.partition(b"\n@@ ")
        name = re.search(rb"^\+\+\+ (?!/dev/null)(.+?)\t?$|^--- (?!/dev/null)(.+?)\t?$", head, re.MULTILINE)
        if not hunks or name is None:
            continue
        path = unquote_path(name[1] or name[2])
        lines = body.split(b"\n")[1:]
        if b"\0" in body:
            counts[path] = (None, None)
        else:
            counts[path] = (sum(line[:1] == b"+" for line in lines), sum(line[:1] == b"-" for line in lines))
    return counts


def unquote_path(quoted: bytes) -> str:
    """A path as a patch shows it, without `a/` or `b/`; Git quotes unusual bytes as C does."""
    if quoted.startswith(b'"'):
        quoted = quoted[1:-1].decode("latin-1").encode("latin-1", "backslashreplace")
        quoted = quoted.decode("unicode_escape").encode("latin-1")
    return quoted[2:].decode(errors="surrogateescape")
