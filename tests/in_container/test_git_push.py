"""What is pushed, and what a push must not overwrite."""

import pytest

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
    assert git_run.push(commit).result == {"pushed": True, "commit": commit, "new_base": ""}
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


DEPTHS = pytest.mark.parametrize("depth", [50, 1, 0])


@DEPTHS
@pytest.mark.parametrize("forgets", [False, True])
def test_a_base_with_a_new_root_gets_the_change(git_run: GitRun, depth: int, *, forgets: bool) -> None:
    """One commit on the new root, whether or not GitHub still has the old commits; the second push changes nothing."""
    git_run.host(history=4)
    git_run.clone(depth=depth)
    git_run.specify()
    commit = git_run.stage().result["commit"]
    if not forgets:
        git(git_run.hosted, "branch", "old", "main")
    root = git_run.new_root({"README.md": "# Shop\n", "new.txt": "new\n"})
    answer = git_run.push(commit, depth=depth)
    assert answer.code == 0, answer.stderr
    assert answer.result == {"pushed": True, "commit": git_run.heads()[f"refs/heads/{BRANCH}"], "new_base": root}
    assert git(git_run.hosted, "log", "--format=%s", f"main..{BRANCH}").decode() == "Add the specification: Dark mode\n"
    assert git(git_run.hosted, "diff", "--name-only", "main", BRANCH).decode() == "specs/001-dark-mode/spec.md\n"
    assert git_run.push(commit, depth=depth).result["pushed"] is True


@DEPTHS
def test_a_rewritten_base_gets_the_change_without_the_removed_commits(git_run: GitRun, depth: int) -> None:
    """The pull request must not bring back what was removed from the base."""
    git_run.host(history=4)
    git_run.clone(depth=depth)
    git_run.specify()
    commit = git_run.stage().result["commit"]
    tree = git(git_run.hosted, "rev-parse", "main~1^{tree}").decode().strip()
    moved = git(git_run.hosted, "commit-tree", tree, "-p", "main~2", "-m", "rewritten").decode().strip()
    git(git_run.hosted, "update-ref", "refs/heads/main", moved)
    git_run.forget()
    answer = git_run.push(commit, depth=depth)
    assert answer.code == 0, answer.stderr
    assert git(git_run.hosted, "rev-list", "--count", f"main..{BRANCH}").decode().strip() == "1"
    assert git(git_run.hosted, "merge-base", "main", BRANCH).decode().strip() == moved


@DEPTHS
def test_a_base_that_only_moved_forward_keeps_the_cloned_commit_or_gets_the_change(git_run: GitRun, depth: int) -> None:
    """With a depth of 1 the history does not show that it only moved: the change is on the current commit."""
    git_run.host(history=4)
    base = git_run.clone(depth=depth).result["base_commit"]
    git_run.specify()
    commit = git_run.stage().result["commit"]
    tree = git(git_run.hosted, "rev-parse", "main^{tree}").decode().strip()
    moved = git(git_run.hosted, "commit-tree", tree, "-p", "main", "-m", "meanwhile").decode().strip()
    git(git_run.hosted, "update-ref", "refs/heads/main", moved)
    assert git_run.push(commit, depth=depth).result["pushed"] is True
    common = git(git_run.hosted, "merge-base", "main", BRANCH).decode().strip()
    assert common == (moved if depth == 1 else base)
    assert git(git_run.hosted, "rev-list", "--count", f"main..{BRANCH}").decode().strip() == "1"


def test_a_change_that_does_not_fit_the_new_history_is_not_pushed(git_run: GitRun) -> None:
    """The answer names the paths."""
    git_run.host()
    git_run.clone()
    git_run.agent("echo changed >> README.md")
    git_run.specify()
    commit = git_run.stage().result["commit"]
    git_run.new_root({"README.md": "# Other\n"})
    before = git_run.heads()
    answer = git_run.push(commit)
    assert (answer.code, answer.result) == (0, {"pushed": False, "commit": commit, "in_the_way": ["README.md"]})
    assert git_run.heads() == before


def test_without_the_base_branch_nothing_is_pushed(git_run: GitRun) -> None:
    """It was deleted or renamed; when it is there again, the same commit is pushed."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    commit = git_run.stage().result["commit"]
    git_run.github.rename_branch(git_run.slug, "main", "trunk")
    assert git_run.push(commit).result == {"pushed": False, "commit": commit, "base_gone": True}
    assert set(git_run.heads()) == {"refs/heads/trunk"}
    git_run.github.rename_branch(git_run.slug, "trunk", "main")
    assert git_run.push(commit).result["pushed"] is True


def test_a_push_whose_answer_was_lost_is_found(git_run: GitRun) -> None:
    """Also one on a new base that has moved again, by the next attempt."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    commit = git_run.stage().result["commit"]
    root = git_run.new_root({"new.txt": "new\n"})
    git_run.github.inject("git-lost-answer", times=1)
    first = git_run.push(commit)
    assert (first.code, first.result["new_base"]) == (0, root)
    git_run.new_root({"newer.txt": "newer\n"})
    second = git_run.push(git_run.stage().result["commit"])
    assert (second.result["pushed"], second.result["commit"]) == (True, first.result["commit"])


def test_a_base_that_the_caller_knows_is_not_asked_for_again(git_run: GitRun) -> None:
    """One request less; the result is the same."""
    git_run.host()
    base = git_run.clone().result["base_commit"]
    git_run.specify()
    commit = git_run.stage().result["commit"]
    assert git_run.push(commit, base_head=base).result == {"pushed": True, "commit": commit, "new_base": ""}


def test_a_base_that_was_rewritten_since_the_caller_asked_gets_the_change(git_run: GitRun) -> None:
    """GitHub refuses the old history of a shallow clone; then it is asked again."""
    git_run.host(history=4)
    base = git_run.clone(depth=1).result["base_commit"]
    git_run.specify()
    commit = git_run.stage().result["commit"]
    root = git_run.new_root({"README.md": "# Shop\n", "new.txt": "new\n"})
    answer = git_run.push(commit, depth=1, base_head=base)
    assert answer.code == 0, answer.stderr
    assert (answer.result["pushed"], answer.result["new_base"]) == (True, root)


def test_a_branch_that_appeared_since_the_caller_asked_is_a_conflict(git_run: GitRun) -> None:
    """It is not overwritten."""
    git_run.host(history=3)
    base = git_run.clone().result["base_commit"]
    git_run.specify()
    commit = git_run.stage().result["commit"]
    there = git(git_run.hosted, "rev-parse", "main~2").decode().strip()
    git(git_run.hosted, "update-ref", f"refs/heads/{BRANCH}", there)
    answer = git_run.push(commit, base_head=base)
    assert (answer.code, answer.result["pushed"], answer.result["conflict"]) == (0, False, there)
    assert git_run.heads()[f"refs/heads/{BRANCH}"] == there


def test_a_refused_push_is_not_repeated_if_nothing_changed(git_run: GitRun) -> None:
    """GitHub's message is there once."""
    git_run.host()
    base = git_run.clone().result["base_commit"]
    git_run.specify()
    commit = git_run.stage().result["commit"]
    git_run.github.inject("push-refused")
    try:
        answer = git_run.push(commit, base_head=base)
    finally:
        git_run.github.clear("push-refused")
    assert (answer.code, answer.result) == (1, {})
    assert answer.stderr.count("protected branch") == 1
