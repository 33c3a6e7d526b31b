"""Puts the run's commit on another base. Works on trees and entries only: no file is checked out or merged."""

from moonmind_appliance.in_container.git import Git, shown

_ABSENT = "000000"
_MOST_CONFLICTS = 20

Entries = dict[bytes, tuple[str, str]]
"""Changed paths, with the mode and the object id after the change; the mode of a removed one is 000000."""


def replay(git: Git, commit: str, base: str) -> tuple[str, list[str]]:
    """The commit with the same changes, author, dates and message on top of `base`; the same input gives the same id.

    If `base` differs from the commit's parent in a path of the change, no commit is made.

    Returns:
        The new commit's id, and the paths that prevent it, of which one is "" or the other empty.
    """
    parent = git("rev-parse", f"{commit}^").decode().strip()
    change = _changes(git, parent, commit)
    found = conflicts(change, _changes(git, parent, base))
    if found:
        return "", [shown(path.decode(errors="surrogateescape")) for path in found[:_MOST_CONFLICTS]]
    index = git.private / "replay.index"
    index.unlink(missing_ok=True)
    own: dict[str, str | None] = {"GIT_INDEX_FILE": str(index)}
    git("read-tree", base, env=own)
    entries = b"".join(b"%b %b\t%b\0" % (mode.encode(), sha.encode(), path) for path, (mode, sha) in change.items())
    git("update-index", "-z", "--index-info", feed=entries, env=own)
    tree = git("write-tree", env=own).decode().strip()
    header, _, message = git("cat-file", "commit", commit).partition(b"\n\n")
    people = [line for line in header.split(b"\n") if not line.startswith((b"tree ", b"parent "))]
    lines = [f"tree {tree}".encode(), f"parent {base}".encode(), *people]
    made = b"\n".join(lines) + b"\n\n" + message
    return git("hash-object", "-t", "commit", "-w", "--stdin", feed=made).decode().strip(), []


def conflicts(change: Entries, other: Entries) -> list[bytes]:
    """The paths of `change` that `other` changes to something else, or that cannot exist beside it. Pure."""
    there = {path for path, (mode, _) in other.items() if mode != _ABSENT}
    folders = {folder for path in there for folder in _folders(path)}
    found = []
    for path, entry in change.items():
        if path in other:
            if other[path] != entry:
                found.append(path)
        elif entry[0] != _ABSENT and (path in folders or not there.isdisjoint(_folders(path))):
            found.append(path)
    return found


def _folders(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]


def _changes(git: Git, old: str, new: str) -> Entries:
    fields = git("diff-tree", "-r", "-z", "--raw", "--no-renames", old, new).split(b"\0")
    entries: Entries = {}
    for head, path in zip(fields[::2], fields[1::2], strict=False):
        _, mode, _, sha, _ = head.decode().split()
        entries[path] = (mode, sha)
    return entries
