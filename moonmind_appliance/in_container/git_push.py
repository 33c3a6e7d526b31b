"""Runs inside the git container: pushes the run's branch."""

from typing import Any

from moonmind_appliance.in_container.git import Git, GitError, answer_with


def push(job: dict[str, Any]) -> dict[str, Any]:
    """Push the run's branch. It must not exist on GitHub, or be at this commit already. Idempotent."""
    git = Git(job)
    reference, commit = f"refs/heads/{job['branch']}", job["commit"]
    # The lease requires a new branch; Git treats a branch at this commit as up to date before it checks the lease.
    lease = f"--force-with-lease={reference}:"
    try:
        git("push", "--quiet", "--no-verify", lease, "--end-of-options", job["url"], f"{commit}:{reference}")
    except GitError:
        there = git("ls-remote", "--end-of-options", job["url"], reference).decode().split()
        if there and there[0] != commit:
            return {"pushed": False, "conflict": there[0], "commit": commit}
        if not there:
            raise
    return {"pushed": True, "commit": commit}


def main(job: dict[str, Any]) -> int:
    """Push and print the result; exit code 1 if Git failed."""
    return 0 if answer_with(push, job) else 1
