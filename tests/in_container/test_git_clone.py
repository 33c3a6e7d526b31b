"""What a clone contains, and what the agent's copy of it contains: real Git, a real server."""

from pathlib import Path

import pytest

from tests.in_container.git_fixture import BRANCH, GitRun, git


def test_a_clone_has_only_the_base_branch(git_run: GitRun) -> None:
    """Files with their modes and links; a private clone whose HEAD is the run's branch at the base; no tags."""

    def make(source: Path) -> None:
        (source / "run.sh").write_text("#!/bin/sh\n")
        (source / "run.sh").chmod(0o755)
        (source / "link").symlink_to("README.md")
        git(source, "add", "--all")

    git_run.host(make=make)
    git(git_run.hosted, "tag", "v1", "main")
    git(git_run.hosted, "branch", "other", "main")
    answer = git_run.clone()
    private = git_run.private / "clone.git"
    assert answer.result["base_commit"] == git(git_run.hosted, "rev-parse", "main").decode().strip()
    assert (git_run.repository / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (git_run.repository / "link").readlink() == Path("README.md")
    refs = git(private, "for-each-ref", "--format=%(refname)").decode().split()
    assert refs == ["refs/heads/main", f"refs/heads/{BRANCH}"]
    assert git(private, "symbolic-ref", "HEAD").decode().strip() == f"refs/heads/{BRANCH}"


@pytest.mark.parametrize(("depth", "commits"), [(2, 2), (0, 5)])
def test_a_clone_has_the_requested_depth(git_run: GitRun, depth: int, commits: int) -> None:
    """`depth` commits of history, 0 for all; in both cases the change can be committed and pushed."""
    git_run.host(history=5)
    git_run.clone(depth=depth)
    assert git(git_run.private / "clone.git", "rev-list", "--count", "main").decode().strip() == str(commits)
    git_run.specify()
    commit = git_run.stage().result["commit"]
    assert git_run.push(commit).result["pushed"] is True
    assert git(git_run.hosted, "rev-list", "--count", BRANCH).decode().strip() == "6"


def test_a_base_branch_may_have_slashes(git_run: GitRun) -> None:
    """`release/2026/q1` is a valid branch."""
    git_run.host(branch="release/2026/q1")
    git_run.clone(base_branch="release/2026/q1")
    assert (git_run.repository / "README.md").is_file()


@pytest.mark.parametrize("base", ["missing", "--upload-pack=touch pwned", "v1"])
def test_an_invalid_base_branch_is_refused_by_git(git_run: GitRun, base: str) -> None:
    """A missing branch, an option, a tag: exit code 1 and Git's message."""
    git_run.host()
    git(git_run.hosted, "tag", "v1", "main")
    answer = git_run.run("clone", base_branch=base)
    assert (answer.code, answer.result) == (1, {})
    assert "couldn't find remote ref" in answer.stderr or "invalid refspec" in answer.stderr


def test_the_token_is_in_no_file(git_run: GitRun) -> None:
    """Neither the private clone nor the agent's copy nor any other file contains it, in any encoding of Git."""
    git_run.host()
    git_run.clone()
    assert b"extraHeader" not in (git_run.repository / ".git/config").read_bytes()
    git_run.specify()
    git_run.push(git_run.stage().result["commit"])
    files = [path for path in git_run.root.rglob("*") if path.is_file()]
    hits = [str(path) for path in files if b"gitFixtureToken" in path.read_bytes()]
    assert len(files) > 20
    assert hits == []


def test_a_clone_starts_over_despite_leftovers(git_run: GitRun) -> None:
    """Folders without write access (as in Go's module cache), links and files in place of folders."""
    git_run.host()
    git_run.clone()
    git_run.agent(
        "mkdir -p cache/mod sealed; echo 1 > cache/mod/a; echo 2 > sealed/b; chmod 0555 cache/mod; chmod 0 sealed"
    )
    git_run.agent("cd ..; mv repo gone; ln -s /etc repo; echo x > out")
    answer = git_run.clone()
    assert sorted(entry.name for entry in git_run.repository.iterdir()) == [".agents", ".git", ".specify", "README.md"]
    assert [entry.name for entry in git_run.workspace.iterdir()] == ["repo"]
    assert not git_run.repository.is_symlink()
    assert answer.result["scaffold_files"] == 5


def test_a_clone_replaces_a_repository_that_became_a_link(git_run: GitRun) -> None:
    """The link is removed, its target stays."""
    git_run.host()
    git_run.clone()
    git_run.agent(
        "mkdir ../../elsewhere; echo keep > ../../elsewhere/file; mv ../repo ../gone; ln -s ../elsewhere ../repo"
    )
    git_run.clone()
    assert not git_run.repository.is_symlink()
    assert (git_run.workspace.parent / "elsewhere/file").read_text() == "keep\n"


def test_a_missing_scaffold_is_copied(git_run: GitRun) -> None:
    """All of it, with modes, into a repository without Spec Kit; none of it counts as a change."""
    git_run.host()
    answer = git_run.clone()
    assert answer.result["scaffold_files"] == 5
    assert (git_run.repository / ".specify/scripts/bash/common.sh").stat().st_mode & 0o777 == 0o755
    assert git_run.stage().result["changed"] is False


def test_a_repository_without_commits_cannot_be_cloned(git_run: GitRun) -> None:
    """Exit code 1: there is no base branch."""
    git_run.host()
    git(git_run.hosted, "update-ref", "-d", "refs/heads/main")
    answer = git_run.run("clone")
    assert answer.code == 1
    assert "couldn't find remote ref" in answer.stderr


def test_hooks_of_a_template_are_not_installed(git_run: GitRun) -> None:
    """The private clone has no hooks, for any template on the machine."""
    git_run.host()
    git_run.clone()
    assert not (git_run.private / "clone.git/hooks").exists()
