"""Runs inside the git container: clones the repository, and copies its files for the agent."""

import json
import os
import re
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import IO, Any

from moonmind_appliance.in_container.ca_bundle import BUNDLE_NAME, write_bundle
from moonmind_appliance.in_container.git import Git, GitError, answer_with
from moonmind_appliance.in_container.git_cache import Cache, Cause, Unusable, cause_of
from moonmind_appliance.in_container.git_cache_save import run_save, save_in_background
from moonmind_appliance.in_container.spec_kit_files import place_spec_kit
from moonmind_appliance.in_container.work_tree import remove

# Its existence says that a fetch with the cache broke off: the next attempt of this run does without.
_WITHOUT_CACHE = "without-cache"
_LONGEST_ERRORS = 64 * 1024
_OWN_ERROR = re.compile(r"^(?:error|fatal):", re.MULTILINE)


def clone(job: dict[str, Any], cache: Cache | None = None) -> dict[str, Any]:
    """Make a private bare clone, the files of the base branch, a copy for the agent, and the run's Spec Kit.

    Idempotent: files of an earlier attempt are removed first. What does not succeed with the cache is done without it.
    """
    private = Path(job["private"])
    write_bundle(Path(job["extra_ca"]), private / BUNDLE_NAME)
    git = Git(job)
    commit, tree = _with_cache(git, job, cache) if cache else _base(git, job)
    copy_for_agent(git, job["url"])
    choice, record = place_spec_kit(git.worktree, Path(job["scaffold"]), job["integration"])
    # With this index `stage` starts at the base, and recognises files that were not changed since. Its time is kept:
    # Git re-reads files that are as new as the index.
    shutil.copy2(git.directory / "index", private / "base.index")
    (private / "base.json").write_text(json.dumps({"commit": commit, "tree": tree, **record}))
    result = {"base_commit": commit, "scaffold_files": len(record["scaffold"]), "spec_kit": choice}
    if cache:
        result["cache"] = {"used": cache.taken is not None, "bytes": cache.taken.size if cache.taken else 0}
    return result


def _with_cache(git: Git, job: dict[str, Any], cache: Cache) -> tuple[str, str]:
    """As `_base`, with the cache if that is possible. Afterwards the cache can be saved."""
    mark = git.private / _WITHOUT_CACHE
    done = None if mark.exists() else _try_cache(git, job, cache, mark)
    if done is None:
        cache.taken = None
        done = _base(git, job)
        cache.fetched(git, job["base_branch"], done[0])
    mark.unlink(missing_ok=True)
    return done


def _try_cache(git: Git, job: dict[str, Any], cache: Cache, mark: Path) -> tuple[str, str] | None:
    """As `_base`; None if it must be done without the cache, and then nothing is printed about this attempt.

    A failure of GitHub is raised at once: a clone without the cache would fail in the same way.
    """
    failed = None
    with tempfile.TemporaryFile(dir=git.private) as errors:
        git.errors = errors
        try:
            done = _base(git, job, cache)
        except (Unusable, OSError):
            return None
        except GitError as error:
            failed = error
        finally:
            git.errors = None
        printed = _tail(errors)
    if cache.taken is not None:
        # Git also continues after errors, such as a missing commit.
        if _OWN_ERROR.search(printed) if failed is None else cause_of(printed) is Cause.CACHE:
            return None
        if failed is not None and cause_of(printed) is Cause.TRANSFER:
            mark.touch()
    sys.stderr.write(printed)
    sys.stderr.flush()
    if failed is not None:
        raise failed
    return done


def _base(git: Git, job: dict[str, Any], cache: Cache | None = None) -> tuple[str, str]:
    """Make the private clone and the files of the base branch; returns its commit and tree.

    Raises:
        Unusable: not possible with the cache.
    """
    workspace, base, branch = Path(job["workspace"]), job["base_branch"], job["branch"]
    for leftover in (git.directory, workspace):
        remove(leftover)
    (workspace / "repo").mkdir(parents=True)
    git("init", "--quiet", "--bare", "--template=", "--initial-branch", "main", env={"GIT_WORK_TREE": None})
    if cache:
        cache.take(git)
    depth = [f"--depth={job['depth']}"] if job["depth"] else []
    refspec = f"+refs/heads/{base}:refs/heads/{base}"
    git("fetch", "--quiet", "--no-tags", *depth, "--end-of-options", job["url"], refspec)
    commit, tree = git("rev-parse", f"refs/heads/{base}^{{commit}}", f"refs/heads/{base}^{{tree}}").decode().split()
    if cache:
        cache.fetched(git, base, commit)
    git("update-ref", f"refs/heads/{branch}", commit)
    git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    git("read-tree", "--reset", "-u", commit)
    return commit, tree


def _tail(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - _LONGEST_ERRORS))
    return file.read().decode(errors="replace")


def copy_for_agent(git: Git, url: str) -> None:
    """Copy `.git` for the agent, so that its changes there do not affect the private clone."""
    own = git.worktree / ".git"
    shutil.copytree(git.directory, own)
    with (own / "config").open("a", encoding="utf-8") as config:
        config.write(f'[core]\n\tbare = false\n[remote "origin"]\n\turl = {json.dumps(url)}\n')


def main(job: dict[str, Any]) -> int:
    """Clone and print the result; exit code 1 if Git failed. With `save` in the job: write the cache."""
    if "save" in job:
        return run_save(job["save"])
    cache = Cache(job["cache"], job["depth"]) if job.get("cache") else None
    if answer_with(partial(clone, cache=cache), job) is None:
        return 1
    if cache and cache.found:
        save_in_background(cache, cache.found, Path(job["private"]))
    return 0
