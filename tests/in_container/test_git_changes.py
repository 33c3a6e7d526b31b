"""What Git lists and stores, and which files exclude each other."""

import pytest

from moonmind_appliance.in_container.git import Git
from moonmind_appliance.in_container.git_changes import ABSENT, SYMLINK, clash, raw_changes, read_blobs
from tests.in_container.git_fixture import GitRun


def test_changes_have_the_names_that_git_stores(git_run: GitRun) -> None:
    """They come from two trees or from the index, and can be read back with their blobs; nothing is quoted."""
    git_run.host({"old.txt": "old\n", "kept.txt": "kept\n"})
    base = git_run.clone().result["base_commit"]
    git_run.specify()
    git_run.agent("rm old.txt; echo x > $'\\xff \\n\"'; ln -s kept.txt link")
    commit = git_run.stage().result["commit"]
    git = Git({"private": str(git_run.private), "repository": str(git_run.repository)})
    changes = raw_changes(git, "diff-tree", "-r", base, commit)
    assert raw_changes(git, "diff-index", "--cached", base) == changes
    found = {change["path"]: change for change in changes}
    assert (found["old.txt"]["new_mode"], found["old.txt"]["status"]) == (ABSENT, "D")
    assert found["link"]["new_mode"] == SYMLINK
    odd = found['\udcff \n"']
    assert (odd["old_mode"], odd["status"]) == (ABSENT, "A")
    ids = [odd["new_id"], found["link"]["new_id"]]
    assert read_blobs(git, ids) == dict(zip(ids, [b"x\n", b"kept.txt"], strict=True))
    assert read_blobs(git, []) == {}


@pytest.mark.parametrize(
    ("path", "clashes"),
    [("a", True), ("a/b", True), ("a/b/c", False), ("a/b/c/d", True), ("a/bc", False), ("c", False)],
)
def test_a_file_excludes_its_folders_names_and_what_would_be_below_it(path: str, *, clashes: bool) -> None:
    """Its own path is no clash."""
    assert clash(["a/b/c"])(path) is clashes
