"""Clones with a cache: real Git, a real server, and what may be wrong with the cache's files."""

import pytest

from tests.in_container.git_caches import CacheFolder
from tests.in_container.git_fixture import BRANCH, GitRun, git


@pytest.fixture
def cache(git_run: GitRun) -> CacheFolder:
    return CacheFolder(git_run)


def commit_file(run: GitRun, name: str, content: str, *, branch: str = "main") -> str:
    """Add a commit to a branch on the stand-in."""
    tree = f"{branch}^{{tree}}"
    blob = git(run.hosted, "hash-object", "-w", "--stdin", feed=content.encode()).decode().strip()
    index = run.root / "added.index"
    git(run.hosted, "read-tree", tree, index=index)
    git(run.hosted, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", index=index)
    made = git(run.hosted, "write-tree", index=index).decode().strip()
    commit = git(run.hosted, "commit-tree", made, "-p", branch, "-m", name).decode().strip()
    git(run.hosted, "update-ref", f"refs/heads/{branch}", commit)
    return commit


def state_of(run: GitRun) -> dict[str, object]:
    """What a clone contains as far as anyone can see it: refs, history, missing parents, files."""
    seen = {}
    for folder in (run.private / "clone.git", run.repository / ".git"):
        seen[folder.name] = (
            git(folder, "for-each-ref"),
            git(folder, "rev-list", "main"),
            sorted((folder / "shallow").read_text().split()) if (folder / "shallow").exists() else [],
        )
    files = {str(path.relative_to(run.repository)) for path in run.repository.rglob("*") if ".git/" not in str(path)}
    return seen | {"files": sorted(files), "status": git(run.repository, "status", "--porcelain", "--untracked=no")}


def test_the_second_clone_takes_the_packs_of_the_first(git_run: GitRun, cache: CacheFolder) -> None:
    """And is the same, also after a new commit on GitHub; then the cache has that commit too."""
    git_run.host(history=5)
    first = cache.clone(depth=3)
    assert first.result["cache"] == {"used": False, "bytes": 0}
    assert cache.names() == ["current", "lock", "writer.lock"]
    seen = state_of(git_run)
    second = cache.clone(depth=3)
    assert second.result["cache"] == {"used": True, "bytes": sum(p.stat().st_size for p in cache.current.glob("pack*"))}
    assert state_of(git_run) == seen
    new = commit_file(git_run, "new.txt", "new\n")
    third = cache.clone(depth=3)
    assert (third.result["base_commit"], third.result["cache"]["used"]) == (new, True)
    assert cache.record().heads == {"main": new}
    assert len(cache.packs()) == 2
    seen = state_of(git_run)
    git_run.clone(depth=3)
    assert state_of(git_run) == seen
    assert BRANCH
