"""What is pushed, and what a push must not overwrite."""

from tests.in_container.git_fixture import BRANCH, GitRun, git


def test_a_push_creates_only_the_branch(git_run: GitRun) -> None:
    """No tag and no other branch; the base does not change."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    git_run.agent("git tag v9; git branch stray")
    commit = git_run.stage().result["commit"]
    git(git_run.private / "clone.git", "tag", "private-tag", commit)
    before = git_run.heads()
    assert git_run.push(commit).result == {"pushed": True, "commit": commit}
    assert git_run.heads() == before | {f"refs/heads/{BRANCH}": commit}


def test_a_push_is_safe_twice(git_run: GitRun) -> None:
    """A branch that is already at the commit counts as pushed."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    commit = git_run.stage().result["commit"]
    assert git_run.push(commit).result["pushed"] is True
    assert git_run.push(commit).result == {"pushed": True, "commit": commit}


def test_a_branch_at_another_commit_is_a_conflict_and_stays(git_run: GitRun) -> None:
    """Ahead, behind or unrelated: its commit is reported, and it is not overwritten."""
    git_run.host(history=3)
    git_run.clone()
    git_run.specify()
    commit = git_run.stage().result["commit"]
    for other in ("main", "main~2"):
        there = git(git_run.hosted, "rev-parse", other).decode().strip()
        git(git_run.hosted, "update-ref", f"refs/heads/{BRANCH}", there)
        answer = git_run.push(commit)
        assert (answer.code, answer.result["pushed"], answer.result["conflict"]) == (0, False, there)
        assert git_run.heads()[f"refs/heads/{BRANCH}"] == there


def test_a_base_that_moves_meanwhile_has_no_effect(git_run: GitRun) -> None:
    """The run's branch starts at the cloned commit; the pull request handles merging."""
    git_run.host()
    base = git_run.clone().result["base_commit"]
    tree = git(git_run.hosted, "rev-parse", "main^{tree}").decode().strip()
    moved = git(git_run.hosted, "commit-tree", tree, "-p", "main", "-m", "meanwhile").decode().strip()
    git(git_run.hosted, "update-ref", "refs/heads/main", moved)
    git_run.specify()
    commit = git_run.stage().result["commit"]
    assert git_run.push(commit).result["pushed"] is True
    assert git_run.heads()["refs/heads/main"] == moved
    assert git(git_run.hosted, "merge-base", BRANCH, "main").decode().strip() == base


def test_a_refused_push_has_githubs_message(git_run: GitRun) -> None:
    """Exit code 1, GitHub's message on standard error, no branch."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    commit = git_run.stage().result["commit"]
    git_run.github.inject("push-refused")
    try:
        answer = git_run.push(commit)
    finally:
        git_run.github.clear("push-refused")
    assert (answer.code, answer.result) == (1, {})
    assert "protected branch" in answer.stderr
    assert f"refs/heads/{BRANCH}" not in git_run.heads()
