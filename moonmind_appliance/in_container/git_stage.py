"""Runs inside the git container: makes a commit and a patch of the agent's files. Executes none of them."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.agent_index import not_checked_out
from moonmind_appliance.in_container.git import Git, GitError, answer_with, shown
from moonmind_appliance.in_container.git_index import take_back
from moonmind_appliance.in_container.git_patch import PATCH_NAME, added_and_removed, write_patch
from moonmind_appliance.in_container.git_skipped import ignored_feature, skipped, unfiltered
from moonmind_appliance.in_container.work_tree import is_plain_folder, make_fit
from moonmind_appliance.in_container.workspace_size import Measurement

# Most files reported of a change that is too large: a package manager can leave hundreds of thousands.
MOST_FILES = 1000
# Most left-out or removed paths reported, besides their number; an agent can make 60,000 links in a second.
MOST_LEFT_OUT, LONGEST_PATH = 100, 500


def stage(job: dict[str, Any]) -> dict[str, Any]:
    """Add the agent's files to the private index, and make a tree, a commit and a patch of them.

    Standard output gets the result line, then the patch, unless it is larger than `max_bytes`. Idempotent. The result
    contains the `size` of the folders that `measure` names, measured meanwhile.
    """
    measurement = Measurement(job["measure"])
    return _staged(Git(job), job) | {"size": measurement.result()}


def _staged(git: Git, job: dict[str, Any]) -> dict[str, Any]:
    for folder in (git.worktree.parent, git.worktree):
        if folder.is_symlink() or not folder.is_dir():
            raise GitError(f"{folder} is no longer a directory of this run")
    base = json.loads((git.private / "base.json").read_text())
    sparse = not_checked_out(git.worktree)
    removed, refused = make_fit(git.worktree)
    shutil.copy2(git.private / "base.index", git.directory / "index")
    git("add", "--all", "--", ".")
    feature = job.get("feature_directory")
    warnings: list[dict[str, str]] = []
    if feature and is_plain_folder(git.worktree, feature) and any((git.worktree / feature).iterdir()):
        warnings = ignored_feature(git, feature)
        git("add", "--all", "--force", "--", f":(literal){feature}")
    change = take_back(git, base, job, sparse)
    tree = git("write-tree").decode().strip()
    # Protected paths first, so that others cannot displace them from a list that is shortened.
    left_out = change.protected + refused + change.left_out
    passed_over, passed_over_count = skipped(git, base, MOST_LEFT_OUT)
    warnings += unfiltered(git, change.kept)
    result: dict[str, Any] = {
        "base_commit": base["commit"],
        "tree": tree,
        "left_out": _bounded(left_out + passed_over),
        "left_out_count": len(left_out) + passed_over_count,
        "protected_count": len(change.protected),
        "feature_protected": change.feature_protected,
        "warnings": _bounded(warnings),
        "warning_count": len(warnings),
        "nested_repositories_removed": [path[:LONGEST_PATH] for path in removed[:MOST_LEFT_OUT]],
        "nested_repository_count": len(removed),
        "files": [],
        "file_count": len(change.kept),
    }
    if tree == base["tree"]:
        return result | {"changed": False, "commit": base["commit"], "patch_bytes": 0}
    size = write_patch(git, base["commit"], tree, change.kept, job["max_bytes"])
    if size > job["max_bytes"]:
        result["files"] = [{"path": shown(file["path"]), "status": file["status"]} for file in change.kept[:MOST_FILES]]
    else:
        counts = added_and_removed((git.private / PATCH_NAME).read_bytes())
        for file in change.kept:
            added, gone = counts.get(file["path"], (0, 0))
            entry = {"path": shown(file["path"]), "status": file["status"], "added": added, "removed": gone}
            result["files"].append(entry)
    identity: dict[str, str | None] = {
        "GIT_AUTHOR_NAME": job["author_name"],
        "GIT_AUTHOR_EMAIL": job["author_email"],
        "GIT_COMMITTER_NAME": job["author_name"],
        "GIT_COMMITTER_EMAIL": job["author_email"],
        # Depends only on the run, so that the same files give the same commit on a second attempt.
        "GIT_AUTHOR_DATE": job["date"],
        "GIT_COMMITTER_DATE": job["date"],
    }
    message = job["message"].encode()
    commit = git("commit-tree", tree, "-p", base["commit"], feed=message, env=identity).decode().strip()
    git("update-ref", f"refs/heads/{job['branch']}", commit)
    return result | {"changed": True, "commit": commit, "patch_bytes": size, "too_large": size > job["max_bytes"]}


def _bounded(entries: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{**entry, "path": entry["path"][:LONGEST_PATH]} for entry in entries[:MOST_LEFT_OUT]]


def main(job: dict[str, Any]) -> int:
    """Stage and print the result, then the patch unless it is too large; exit code 1 if Git failed."""
    result = answer_with(stage, job)
    if result is None:
        return 1
    if result["changed"] and not result["too_large"]:
        with (Path(job["private"]) / PATCH_NAME).open("rb") as patch:
            shutil.copyfileobj(patch, sys.stdout.buffer)
    return 0
