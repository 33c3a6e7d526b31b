"""Reads changes and blobs from Git, and says which files exclude each other."""

from collections.abc import Callable, Iterable

from moonmind_appliance.in_container.git import Git

GITLINK = "160000"
SYMLINK = "120000"
ABSENT = "000000"

FileChange = dict[str, str]
"""`path`, `old_mode`, `new_mode`, `old_id`, `new_id` and `status` of one file; the mode of no file is `ABSENT`.

The path is what Git stores, with invalid bytes as surrogates.
"""


def raw_changes(git: Git, command: str, *arguments: str) -> list[FileChange]:
    """The changes that `diff-index` or `diff-tree` lists."""
    fields = git(command, "--raw", "-z", "--no-renames", "--full-index", *arguments).split(b"\0")
    changes = []
    for head, path in zip(fields[::2], fields[1::2], strict=False):
        old_mode, new_mode, old_id, new_id, status = head.decode().lstrip(":").split()
        changes.append(
            {
                "path": path.decode(errors="surrogateescape"),
                "old_mode": old_mode,
                "new_mode": new_mode,
                "old_id": old_id,
                "new_id": new_id,
                "status": status,
            }
        )
    return changes


def read_blobs(git: Git, ids: list[str]) -> dict[str, bytes]:
    """The contents of blobs by id. One process reads them all."""
    if not ids:
        return {}
    output = git("cat-file", "--batch", feed="".join(f"{blob}\n" for blob in dict.fromkeys(ids)).encode())
    contents, at = {}, 0
    while at < len(output):
        head, _, _ = output[at : at + 200].partition(b"\n")
        blob, _, size = head.decode().split()
        begin = at + len(head) + 1
        contents[blob] = output[begin : begin + int(size)]
        at = begin + int(size) + 1
    return contents


def clash(files: Iterable[str]) -> Callable[[str], bool]:
    """Whether a file at a path cannot exist beside these files, whose own paths do not count.

    It cannot have the name of a folder that contains one of them, or be below one of them.
    """
    there = set(files)
    folders = {folder for path in there for folder in _folders(path)}
    return lambda path: path in folders or not there.isdisjoint(_folders(path))


def _folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
