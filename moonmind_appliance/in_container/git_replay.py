"""Puts the run's commit on another base. Works on trees and entries only: no file is checked out or merged."""

from moonmind_appliance.in_container.git import Git, shown
from moonmind_appliance.in_container.git_changes import ABSENT, clash, raw_changes

_MOST_CONFLICTS = 20

Entries = dict[str, tuple[str, str]]
"""Changed paths, with the mode and the object id after the change; the mode of a removed one is `ABSENT`."""


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
        return "", [shown(path) for path in found[:_MOST_CONFLICTS]]
    index = git.private / "replay.index"
    index.unlink(missing_ok=True)
    own: dict[str, str | None] = {"GIT_INDEX_FILE": str(index)}
    git("read-tree", base, env=own)
    entries = "".join(f"{mode} {sha}\t{path}\0" for path, (mode, sha) in change.items())
    git("update-index", "-z", "--index-info", feed=entries.encode(errors="surrogateescape"), env=own)
    tree = git("write-tree", env=own).decode().strip()
    header, _, message = git("cat-file", "commit", commit).partition(b"\n\n")
    people = [line for line in header.split(b"\n") if not line.startswith((b"tree ", b"parent "))]
    lines = [f"tree {tree}".encode(), f"parent {base}".encode(), *people]
    made = b"\n".join(lines) + b"\n\n" + message
    return git("hash-object", "-t", "commit", "-w", "--stdin", feed=made).decode().strip(), []


def conflicts(change: Entries, other: Entries) -> list[str]:
    """The paths of `change` that `other` changes to something else, or that cannot exist beside it. Pure."""
    clashes = clash(path for path, (mode, _) in other.items() if mode != ABSENT)
    return [
        path
        for path, entry in change.items()
        if (other[path] != entry if path in other else entry[0] != ABSENT and clashes(path))
    ]


def _changes(git: Git, old: str, new: str) -> Entries:
    changes = raw_changes(git, "diff-tree", "-r", old, new)
    return {change["path"]: (change["new_mode"], change["new_id"]) for change in changes}
