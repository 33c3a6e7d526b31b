"""Tens of thousands of links and nested repositories cost little and are told in few words."""

import json
from typing import Any

import pytest

from moonmind_appliance.in_container.git_container import ABSENT, MOST_LEFT_OUT, SYMLINK, take_back
from tests.in_container.git_fixture import Laboratory

MANY = 3000
_LINKS = "python3 -c 'import os,sys\nfor n in range(int(sys.argv[1])): os.symlink(sys.argv[2].format(n), f\"l{n}\")'"


@pytest.mark.parametrize("target", ["/nowhere/{}", "../../../../{}", "/nowhere", ".git/{}"])
def test_links_out_of_the_tree_are_told_in_few_words(lab: Laboratory, target: str) -> None:
    """Their number, and the first of them: the result is a few kilobytes."""
    lab.host()
    lab.clone()
    lab.specify()
    lab.agent(f"mkdir links; cd links; {_LINKS} {MANY} '{target}'")
    answer = lab.stage()
    assert answer.result["left_out_count"] == MANY
    assert len(answer.result["left_out"]) == MOST_LEFT_OUT
    assert len(json.dumps(answer.result)) < 64 * 1024
    assert [path for path in lab.changes(answer) if path.startswith("links/")] == []


def test_all_links_are_read_by_one_process() -> None:
    """A process for each took 99 seconds for 60,000."""
    calls: list[str] = []
    ids = [f"{number:040x}" for number in range(MANY)]

    def git(*words: str, **_: Any) -> bytes:
        calls.append(words[0])
        if words[0] == "diff-index":
            head = f":{ABSENT} {SYMLINK} {'0' * 40}"
            return b"".join(f"{head} {blob} A\0l{blob}\0".encode() for blob in ids)
        return b"".join(f"{blob} blob 4\n/etc\n".encode() for blob in ids) if words[0] == "cat-file" else b""

    program: Any = git
    base = {"scaffold": [], "whole": [], "commit": "c" * 40}
    kept, left_out = take_back(program, base, {"commit_scaffold": False})
    assert (kept, len(left_out)) == ([], MANY)
    assert sorted(calls) == ["cat-file", "diff-index", "update-index"]


def test_links_within_the_tree_stay(lab: Laboratory) -> None:
    """Each is judged by its own target, also where several have the same one."""
    lab.host()
    lab.clone()
    lab.specify()
    lab.agent("mkdir a; cd a; ln -s ../README.md one; ln -s ../README.md two; ln -s ../../x three; ln -s $'b\nc' four")
    answer = lab.stage()
    assert {path for path in lab.changes(answer) if path.startswith("a/")} == {"a/one", "a/two", "a/four"}
    assert [entry["path"] for entry in answer.result["left_out"]] == ["a/three"]


def test_many_nested_repositories_are_told_in_few_words(lab: Laboratory) -> None:
    """Their number, and the first of them."""
    lab.host()
    lab.clone()
    lab.specify()
    lab.agent("for n in $(seq 1000); do mkdir n$n; touch n$n/.git; done")
    result = lab.stage().result
    assert (result["nested_repository_count"], len(result["nested_repositories_removed"])) == (1000, MOST_LEFT_OUT)


def test_long_paths_are_cut(lab: Laboratory) -> None:
    """A path may have 4096 bytes; so may each of a hundred."""
    lab.host()
    lab.clone()
    lab.specify()
    lab.agent('n=$(printf "x%.0s" $(seq 200)); mkdir -p $n/$n/$n/$n; ln -s /etc $n/$n/$n/$n/out')
    assert [len(entry["path"]) for entry in lab.stage().result["left_out"]] == [500]
