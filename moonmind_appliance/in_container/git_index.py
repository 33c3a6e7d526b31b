"""Removes from Git's index what does not belong in the commit."""

import filecmp
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from moonmind_appliance.in_container.feature_folder import DOCUMENTS, FEATURES_IN_SPECIFY, RECORD, is_below
from moonmind_appliance.in_container.git import Git, shown
from moonmind_appliance.in_container.protected_paths import ProtectedPaths
from moonmind_appliance.in_container.work_tree import is_git_name, remove

GITLINK = "160000"
SYMLINK = "120000"
ABSENT = "000000"
PROTECTED = "a protected path (PROTECTED_PATHS)"
IN_THE_WAY = "would replace a protected path (PROTECTED_PATHS)"

_NOT_DONE = {"A": "not added", "D": "not removed"}


class Change(NamedTuple):
    """The remaining changes, and the left-out paths to report to reviewers: protected ones, and others.

    `feature_protected`: the protected ones include one of the feature's documents, or the feature's folder.
    """

    kept: list[dict[str, str]]
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
    changes = raw_changes(git, "--cached", base["commit"])
    same = untouched(git, changes)
    targets = link_targets(git, changes)
    protected = protected_paths(git, base, job["protected"])
    guarded: list[dict[str, str]] = []
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
            left_out.append(_entry(change, reason))
        else:
            kept.append(change)
    kept, displaced = _beside(kept, guarded)
    back += displaced + guarded
    lines = b"".join(
        f"{change['old_mode'] if change['old_mode'] != ABSENT else 0} {change['old_id']}\t{change['path']}\0".encode(
            errors="surrogateescape"
        )
        for change in back
    )
    if lines:
        git("update-index", "-z", "--index-info", feed=lines)
    reported = [_entry(change, f"{PROTECTED}: {_NOT_DONE.get(change['status'], 'not changed')}") for change in guarded]
    reported += [_entry(change, IN_THE_WAY) for change in displaced]
    paths = [change["path"] for change in guarded + displaced]
    return Change(kept, reported, left_out, _feature_protected(job.get("feature_directory"), paths, protected))


def _feature_protected(feature: str | None, paths: list[str], protected: ProtectedPaths) -> bool:
    """Whether the feature cannot be committed as a whole. Without another file of its folder it is still complete."""
    if not feature:
        return False
    documents = {f"{feature}/{name}" for name in DOCUMENTS}
    covered = protected.covers(feature) and any(is_below(path, [feature]) for path in paths)
    return covered or not documents.isdisjoint(paths)


def _entry(change: dict[str, str], reason: str) -> dict[str, str]:
    return {"path": shown(change["path"]), "reason": reason}


def _beside(
    kept: list[dict[str, str]], guarded: list[dict[str, str]]
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The kept changes that can exist beside the files that are restored, and those that cannot.

    A file cannot have the name of a folder that contains a restored file, or be below a restored file.
    """
    restored = {change["path"] for change in guarded if change["old_mode"] != ABSENT}
    folders = {folder for path in restored for folder in _folders(path)}
    fits = [
        change["new_mode"] == ABSENT
        or (change["path"] not in folders and restored.isdisjoint(_folders(change["path"])))
        for change in kept
    ]
    return (
        [change for change, fit in zip(kept, fits, strict=True) if fit],
        [change for change, fit in zip(kept, fits, strict=True) if not fit],
    )


def _folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def protected_paths(git: Git, base: dict[str, Any], patterns: Collection[str]) -> ProtectedPaths:
    """The protected paths, with those to which links of the base at such paths lead."""
    protected = ProtectedPaths(patterns)
    if patterns:
        entries = git("ls-tree", "-r", "-z", base["commit"]).split(b"\0")
        heads = (entry.split(b"\t", 1) for entry in entries if entry.startswith(SYMLINK.encode()))
        links = {path.decode(errors="surrogateescape"): head.split()[2].decode() for head, path in heads}
        targets = read_blobs(git, list(links.values()))
        protected.follow(
            {path: targets[blob].decode(errors="surrogateescape") for path, blob in links.items() if blob in targets}
        )
    return protected


def set_aside(path: str, base: dict[str, Any]) -> bool:
    """Whether the image's Spec Kit replaces the repository's at this path during the run."""
    replaced, kept = (
        any(path == top or path.startswith(f"{top}/") for top in base.get(key, ())) for key in ("replaced", "kept")
    )
    return replaced and not kept


def link_targets(git: Git, changes: list[dict[str, str]]) -> dict[str, bytes]:
    """The targets of the links among the changes, by blob id."""
    return read_blobs(git, [change["new_id"] for change in changes if change["new_mode"] == SYMLINK])


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


def untouched(git: Git, changes: list[dict[str, str]]) -> set[str]:
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


def raw_changes(git: Git, *arguments: str) -> list[dict[str, str]]:
    """`diff-index --raw` as records; a path is what Git stores, with invalid bytes as surrogates."""
    fields = git("diff-index", "--raw", "-z", "--no-renames", "--full-index", *arguments).split(b"\0")
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
