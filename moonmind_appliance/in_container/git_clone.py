"""Runs inside the git container: clones the repository, and copies its files for the agent."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.ca_bundle import BUNDLE_NAME, write_bundle
from moonmind_appliance.in_container.git import Git, answer_with
from moonmind_appliance.in_container.work_tree import remove


def clone(job: dict[str, Any]) -> dict[str, Any]:
    """Make a private bare clone, the files of the base branch, a copy for the agent, and the scaffold if it is missing.

    Idempotent: files of an earlier attempt are removed first.
    """
    workspace, private = Path(job["workspace"]), Path(job["private"])
    for leftover in (private / "clone.git", workspace):
        remove(leftover)
    (workspace / "repo").mkdir(parents=True)
    write_bundle(Path(job["extra_ca"]), private / BUNDLE_NAME)
    git = Git(job)
    base, branch = job["base_branch"], job["branch"]
    git("init", "--quiet", "--bare", "--template=", "--initial-branch", "main", env={"GIT_WORK_TREE": None})
    depth = [f"--depth={job['depth']}"] if job["depth"] else []
    refspec = f"+refs/heads/{base}:refs/heads/{base}"
    git("fetch", "--quiet", "--no-tags", *depth, "--end-of-options", job["url"], refspec)
    commit, tree = git("rev-parse", f"refs/heads/{base}^{{commit}}", f"refs/heads/{base}^{{tree}}").decode().split()
    git("update-ref", f"refs/heads/{branch}", commit)
    git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    git("read-tree", "--reset", "-u", commit)
    copy_for_agent(git, job["url"])
    copied, whole = copy_scaffold(git, Path(job["scaffold"]))
    # With this index `stage` starts at the base, and recognises files that were not changed since. Its time is kept:
    # Git re-reads files that are as new as the index.
    shutil.copy2(git.directory / "index", private / "base.index")
    base_facts = {"commit": commit, "tree": tree, "scaffold": copied, "whole": whole}
    (private / "base.json").write_text(json.dumps(base_facts))
    return {"base_commit": commit, "scaffold_files": len(copied), "scaffold_folders": whole}


def copy_for_agent(git: Git, url: str) -> None:
    """Copy `.git` for the agent, so that its changes there do not affect the private clone."""
    own = git.worktree / ".git"
    shutil.copytree(git.directory, own)
    with (own / "config").open("a", encoding="utf-8") as config:
        config.write(f'[core]\n\tbare = false\n[remote "origin"]\n\turl = {json.dumps(url)}\n')


def copy_scaffold(git: Git, scaffold: Path) -> tuple[list[str], list[str]]:
    """Copy the Spec Kit files that the repository lacks; returns them, and the top folders that only the scaffold has.

    Replaces none of the repository's files, and writes through none of its links.
    """
    whole = [top.name for top in scaffold.iterdir() if not os.path.lexists(git.worktree / top.name)]
    copied = []
    for source in sorted(scaffold.rglob("*")):
        path = source.relative_to(scaffold)
        target = git.worktree / path
        if any((git.worktree / parent).is_symlink() for parent in path.parents) or os.path.lexists(target):
            continue
        if not target.parent.is_dir():
            continue
        if source.is_dir():
            target.mkdir()
        else:
            shutil.copyfile(source, target)
            shutil.copymode(source, target)
            copied.append(path.as_posix())
    return copied, whole


def main(job: dict[str, Any]) -> int:
    """Clone and print the result; exit code 1 if Git failed."""
    return 0 if answer_with(clone, job) else 1
