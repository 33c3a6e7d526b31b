"""Runs inside the git container: clones the repository, and copies its files for the agent."""

import json
import shutil
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.ca_bundle import BUNDLE_NAME, write_bundle
from moonmind_appliance.in_container.git import Git, answer_with
from moonmind_appliance.in_container.spec_kit_files import place_spec_kit
from moonmind_appliance.in_container.work_tree import remove


def clone(job: dict[str, Any]) -> dict[str, Any]:
    """Make a private bare clone, the files of the base branch, a copy for the agent, and the run's Spec Kit.

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
    choice, record = place_spec_kit(git.worktree, Path(job["scaffold"]), job["integration"])
    # With this index `stage` starts at the base, and recognises files that were not changed since. Its time is kept:
    # Git re-reads files that are as new as the index.
    shutil.copy2(git.directory / "index", private / "base.index")
    (private / "base.json").write_text(json.dumps({"commit": commit, "tree": tree, **record}))
    return {"base_commit": commit, "scaffold_files": len(record["scaffold"]), "spec_kit": choice}


def copy_for_agent(git: Git, url: str) -> None:
    """Copy `.git` for the agent, so that its changes there do not affect the private clone."""
    own = git.worktree / ".git"
    shutil.copytree(git.directory, own)
    with (own / "config").open("a", encoding="utf-8") as config:
        config.write(f'[core]\n\tbare = false\n[remote "origin"]\n\turl = {json.dumps(url)}\n')


def main(job: dict[str, Any]) -> int:
    """Clone and print the result; exit code 1 if Git failed."""
    return 0 if answer_with(clone, job) else 1
