"""Runs inside the git container: pushes the run's branch, with the change on a base that GitHub still has."""

from typing import Any

from moonmind_appliance.in_container.git import Git, GitError, answer_with
from moonmind_appliance.in_container.git_replay import replay

# In the private clone only: the base branch as fetched before the push, and the last commit that was to be pushed.
_CURRENT_BASE = "refs/moonmind/base"
_LAST_TRY = "refs/moonmind/push"


def push(job: dict[str, Any]) -> dict[str, Any]:
    """Push the run's branch. It must not exist on GitHub, or be at this run's commit already. Idempotent.

    The base branch may have moved since the clone. If the cloned commit is still in the `depth` newest commits of its
    history, the run's commit is pushed as it is. If not, the history was probably rewritten: GitHub would reject the
    push of a shallow clone, or a pull request without common history. So the change is put on top of the current base.

    `base_head` is the commit of the base branch if the caller has asked GitHub a moment ago and the run's branch did
    not exist; else None. If the push then fails, and either has changed since, it is tried again.
    """
    git = Git(job)
    base_reference = f"refs/heads/{job['base_branch']}"
    references = (base_reference, f"refs/heads/{job['branch']}")
    if not job["base_head"]:
        return _push(git, job, _heads(git, job["url"], *references))
    known = {base_reference: job["base_head"]}
    try:
        return _push(git, job, known)
    except GitError:
        there = _heads(git, job["url"], *references)
        if there == known:
            raise
    return _push(git, job, there)


def _push(git: Git, job: dict[str, Any], there: dict[str, str]) -> dict[str, Any]:
    """Push, if the heads that GitHub has allow it."""
    reference, commit = f"refs/heads/{job['branch']}", job["commit"]
    base_reference = f"refs/heads/{job['base_branch']}"
    if reference in there:
        return _exists(there[reference], {commit, _last_try(git)})
    if base_reference not in there:
        return {"pushed": False, "commit": commit, "base_gone": True}
    pushed, in_the_way = _on_current_base(git, job, commit, there[base_reference])
    if in_the_way:
        return {"pushed": False, "commit": commit, "in_the_way": in_the_way}
    git("update-ref", _LAST_TRY, pushed)
    # The lease requires a new branch; Git treats a branch at this commit as up to date before it checks the lease.
    lease = f"--force-with-lease={reference}:"
    try:
        git("push", "--quiet", "--no-verify", lease, "--end-of-options", job["url"], f"{pushed}:{reference}")
    except GitError:
        # GitHub may have accepted it, and the answer was lost.
        accepted = _heads(git, job["url"], reference)
        if reference not in accepted:
            raise
        if accepted[reference] != pushed:
            return _exists(accepted[reference], set())
    return {"pushed": True, "commit": pushed, "new_base": "" if pushed == commit else there[base_reference]}


def _exists(there: str, own: set[str]) -> dict[str, Any]:
    """The answer if GitHub has the branch."""
    return {"pushed": True, "commit": there} if there in own else {"pushed": False, "conflict": there, "commit": there}


def _heads(git: Git, url: str, *references: str) -> dict[str, str]:
    """The commits of those of the references that GitHub has."""
    lines = git("ls-remote", "--end-of-options", url, *references).decode().splitlines()
    found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
    return {name: commit for name, commit in found.items() if name in references}


def _last_try(git: Git) -> str:
    return git("for-each-ref", "--format=%(objectname)", _LAST_TRY).decode().strip()


def _on_current_base(git: Git, job: dict[str, Any], commit: str, current: str) -> tuple[str, list[str]]:
    """The commit to push, and the paths that prevent it, of which one is "" or the other empty."""
    cloned = git("rev-parse", f"{commit}^").decode().strip()
    if current == cloned:
        return commit, []
    depth = [f"--depth={job['depth']}"] if job["depth"] else []
    refspec = f"+refs/heads/{job['base_branch']}:{_CURRENT_BASE}"
    git("fetch", "--quiet", "--no-tags", *depth, "--end-of-options", job["url"], refspec)
    try:
        git("merge-base", "--is-ancestor", cloned, _CURRENT_BASE)
    except GitError:
        return replay(git, commit, git("rev-parse", _CURRENT_BASE).decode().strip())
    return commit, []


def main(job: dict[str, Any]) -> int:
    """Push and print the result; exit code 1 if Git failed."""
    return 0 if answer_with(push, job) else 1
