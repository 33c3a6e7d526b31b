"""Removes from Git's index what does not belong in the commit."""

import filecmp
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from moonmind_appliance.in_container.feature_folder import FEATURES_IN_SPECIFY, RECORD, is_below
from moonmind_appliance.in_container.git import Git, shown
from moonmind_appliance.in_container.git_changes import ABSENT, GITLINK, SYMLINK, FileChange, raw_changes, read_blobs
from moonmind_appliance.in_container.protected_changes import beside, feature_protected, protected_paths, reported
from moonmind_appliance.in_container.work_tree import is_git_name, remove


class Change(NamedTuple):
    """The remaining changes, and the left-out paths to report to reviewers: protected ones, and others.

    `feature_protected`: the protected ones include one of the feature's documents, or the feature's folder.
    """

    kept: list[FileChange]
    protected: list[dict[str, str]]
    left_out: list[dict[str, str]]
    feature_protected: bool


def take_back(git: Git, base: dict[str, Any], job: dict[str, Any], sparse: Collection[str] = ()) -> Change:
    """Remove from the index what does not belong in the commit.

    `sparse` are paths that the agent's Git does not check out: if they are missing, the agent did not delete them.
    """
    own_files = {*base["scaffold"], base.get("record", RECORD)}
    # The image's files are not compatible with the repository's.
    commit_scaffold = job["commit_scaffold"] and not base.get("replaced")
    changes = raw_changes(git, "diff-index", "--cached", base["commit"])
    same = untouched(git, changes)
    targets = link_targets(git, changes)
    protected = protected_paths(git, base, job["protected"])
    guarded: list[FileChange] = []
    left_out, back, kept = [], [], []
    for change in changes:
        path, old, new = change["path"], change["old_mode"], change["new_mode"]
        top = PurePosixPath(path).parts[0]
        reason = ""
        if set_aside(path, base):
            back.append(change)
            continue
        scaffold = path in own_files or (top in base["whole"] and not is_below(path, FEATURES_IN_SPECIFY))
        if not commit_scaffold and old == ABSENT and scaffold:
            back.append(change)
            continue
        if new == ABSENT and path in sparse:
            back.append(change)
            continue
        if path in same:
            back.append(change | {"old_mode": new})
            if new == old:
                continue
        if protected.covers(path) or (new in (SYMLINK, GITLINK) and protected.on_the_way(path)):
            guarded.append(change)
            continue
        if GITLINK in (old, new):
            reason = "submodule commits are not changed"
        elif new == SYMLINK and leaves_tree(path, targets[change["new_id"]]):
            reason = "a link that points outside the repository"
        if reason:
            back.append(change)
            left_out.append({"path": shown(path), "reason": reason})
        else:
            kept.append(change)
    kept, displaced = beside(kept, guarded)
    back += displaced + guarded
    lines = b"".join(
        f"{change['old_mode'] if change['old_mode'] != ABSENT else 0} {change['old_id']}\t{change['path']}\0".encode(
            errors="surrogateescape"
        )
        for change in back
    )
    if lines:
        git("update-index", "-z", "--index-info", feed=lines)
    without_feature = feature_protected(job.get("feature_directory"), guarded + displaced, protected)
    return Change(kept, reported(guarded, displaced), left_out, without_feature)


def set_aside(path: str, base: dict[str, Any]) -> bool:
    """Whether the image's Spec Kit replaces the repository's at this path during the run."""
    replaced, kept = (
        any(path == top or path.startswith(f"{top}/") for top in base.get(key, ())) for key in ("replaced", "kept")
    )
    return replaced and not kept


def link_targets(git: Git, changes: list[FileChange]) -> dict[str, bytes]:
    """The targets of the links among the changes, by blob id."""
    return read_blobs(git, [change["new_id"] for change in changes if change["new_mode"] == SYMLINK])


def untouched(git: Git, changes: list[FileChange]) -> set[str]:
    """The files that Git would convert although they are exactly what a checkout of the base writes.

    Many repositories have files that violate their own attributes (line endings, encodings). The change must not
    include such conversions.
    """
    edited = [
        c["path"] for c in changes if {c["old_mode"], c["new_mode"]} <= {"100644", "100755"} and c["status"] == "M"
    ]
    if not edited:
        return set()
    fresh = git.private / "fresh"
    remove(fresh)
    fresh.mkdir()
    paths = b"".join(path.encode(errors="surrogateescape") + b"\0" for path in edited)
    environment: dict[str, str | None] = {
        "GIT_WORK_TREE": str(fresh),
        "GIT_INDEX_FILE": str(git.private / "base.index"),
    }
    git("checkout-index", "--force", "-z", "--stdin", feed=paths, env=environment, cwd=fresh)
    same = {path for path in edited if filecmp.cmp(fresh / path, git.worktree / path, shallow=False)}
    remove(fresh)
    return same


def leaves_tree(path: str, target: bytes) -> bool:
    """Whether a link at `path` points outside the repository, or into a `.git`, judged by its text alone."""
    text = target.decode(errors="surrogateescape")
    parts = PurePosixPath(text).parts
    if text.startswith("/") or "\0" in text or any(is_git_name(part) for part in parts):
        return True
    ups = parts.count("..")
    # `..` after a name: the target depends on whether the name is a link.
    return ".." in parts[ups:] or ups > len(PurePosixPath(path).parts) - 1
