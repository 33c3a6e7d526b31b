"""Applies the protected paths to the changes of a run."""

from collections.abc import Collection
from typing import Any

from moonmind_appliance.in_container.feature_folder import DOCUMENTS, is_below
from moonmind_appliance.in_container.git import Git, shown
from moonmind_appliance.in_container.git_changes import ABSENT, SYMLINK, FileChange, clash, read_blobs
from moonmind_appliance.in_container.protected_paths import ProtectedPaths

PROTECTED = "a protected path (PROTECTED_PATHS)"
IN_THE_WAY = "would replace a protected path (PROTECTED_PATHS)"

_NOT_DONE = {"A": "not added", "D": "not removed"}


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


def beside(kept: list[FileChange], guarded: list[FileChange]) -> tuple[list[FileChange], list[FileChange]]:
    """The kept changes that can exist beside the protected files, which are restored, and those that cannot."""
    clashes = clash(change["path"] for change in guarded if change["old_mode"] != ABSENT)
    fits: list[FileChange] = []
    displaced: list[FileChange] = []
    for change in kept:
        (displaced if change["new_mode"] != ABSENT and clashes(change["path"]) else fits).append(change)
    return fits, displaced


def reported(guarded: list[FileChange], displaced: list[FileChange]) -> list[dict[str, str]]:
    """Both for reviewers: path and reason."""
    found = [(change, f"{PROTECTED}: {_NOT_DONE.get(change['status'], 'not changed')}") for change in guarded]
    found += [(change, IN_THE_WAY) for change in displaced]
    return [{"path": shown(change["path"]), "reason": reason} for change, reason in found]


def feature_protected(feature: str | None, taken_back: list[FileChange], protected: ProtectedPaths) -> bool:
    """Whether the feature cannot be committed as a whole. Without another file of its folder it is still complete."""
    if not feature:
        return False
    paths = [change["path"] for change in taken_back]
    documents = {f"{feature}/{name}" for name in DOCUMENTS}
    covered = protected.covers(feature) and any(is_below(path, [feature]) for path in paths)
    return covered or not documents.isdisjoint(paths)
