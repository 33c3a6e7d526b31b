"""The same change on another base: real Git, a real server."""

import pytest

from moonmind_appliance.in_container.git_replay import Entries, conflicts
from tests.in_container.git_fixture import BRANCH, FEATURE, GitRun, git

GONE = ("000000", "0" * 40)
FILE, OTHER = ("100644", "1" * 40), ("100644", "2" * 40)


@pytest.mark.parametrize(
    ("change", "other", "found"),
    [
        ({"a": FILE}, {"": FILE}, []),
        ({"a": FILE}, {"a": FILE}, []),
        ({"a": FILE}, {"a": OTHER}, ["a"]),
        ({"a": FILE}, {"a": GONE}, ["a"]),
        ({"a": GONE}, {"a": OTHER}, ["a"]),
        ({"a": GONE}, {"a": GONE}, []),
        ({"a/": FILE}, {"a": FILE}, ["a/"]),
        ({"a": FILE}, {"a/": FILE}, ["a"]),
        ({"a/": FILE}, {"a": GONE}, []),
        ({"a/": FILE}, {"a/c": FILE}, []),
    ],
)
def test_paths_conflict_only_if_both_histories_change_them_differently(
    change: Entries, other: Entries, found: list[str]
) -> None:
    """Also a file in the place of a folder."""
    assert conflicts(change, other) == found


def test_contents_modes_names_people_and_message_are_kept(git_run: GitRun) -> None:
    """Removed files, links, names that Git quotes; only tree and parent of the commit differ."""
    git_run.host({"README.md": "# Shop\n", "old.txt": "old\n", "kept.txt": "kept\n"})
    base = git_run.clone().result["base_commit"]
    git_run.specify()
    git_run.agent(
        'rm old.txt; echo x > "$FEATURE/grüße \\"x\\".md"; echo y > "$FEATURE/run.sh"; chmod +x "$FEATURE/run.sh"'
    )
    commit = git_run.stage().result["commit"]
    blank = git_run.new_root({"README.md": "# New\n", "old.txt": "old\n", "more.txt": "more\n"})
    answer = git_run.push(commit)
    assert answer.code == 0, answer.stderr
    pushed = answer.result["commit"]
    assert git(git_run.hosted, "rev-parse", f"{BRANCH}^").decode().strip() == blank
    shown = [
        git(folder, "log", "-1", "--format=%an %ae %at %cn %ce %ct %B", sha)
        for folder, sha in ((git_run.private / "clone.git", commit), (git_run.hosted, pushed))
    ]
    assert shown[0] == shown[1]
    before = git(git_run.private / "clone.git", "diff-tree", "-r", "-z", "--no-renames", base, commit)
    assert git(git_run.hosted, "diff-tree", "-r", "-z", "--no-renames", blank, pushed) == before
    assert f"{FEATURE}/run.sh".encode() in before
    assert git(git_run.hosted, "show", f"{BRANCH}:README.md") == b"# New\n"
