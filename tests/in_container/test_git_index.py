"""Which changes of the agent's tree are left out of the commit: scaffold, links, conversions, submodules."""

import json
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.in_container.git_changes import ABSENT, SYMLINK
from moonmind_appliance.in_container.git_index import take_back
from moonmind_appliance.in_container.git_stage import MOST_LEFT_OUT
from tests.in_container.git_fixture import MAKE_LINKS, SPEC, GitRun, git

GITLINK = "1" * 40
MANY = 3000


@pytest.mark.parametrize("ignore", ["specs/\n", "*\n", "!.specify/\n!.specify/**\n!.agents/\n", "*.md\n!README.md\n"])
def test_gitignore_decides_neither_the_feature_nor_the_scaffold(git_run: GitRun, ignore: str) -> None:
    """The feature is committed even if specs/ is ignored; a negation does not add the scaffold."""
    git_run.host({".gitignore": ignore})
    git_run.clone()
    git_run.specify()
    git_run.agent(
        "echo '{}' > .specify/feature.json; mkdir -p .agents/skills/mine; echo x > .agents/skills/mine/SKILL.md"
    )
    answer = git_run.stage()
    assert set(git_run.changes(answer)) == {SPEC}
    assert answer.result["left_out"] == []


def test_the_scaffold_is_committed_on_request(git_run: GitRun) -> None:
    """With COMMIT_SCAFFOLD its files are part of the change."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    names = set(git_run.changes(git_run.stage(commit_scaffold=True)))
    assert {SPEC, ".specify/templates/spec-template.md", ".agents/skills/speckit-plan/SKILL.md"} <= names


LINKS_THAT_STAY = {
    "1": "README.md",
    "a/b/2": "../../README.md",
    "a/3": "..",
    "4": "nowhere",
    "5": ".",
    "a/6": "../a/b",
}


LINKS_THAT_LEAVE = {
    "11": "/etc/passwd",
    "12": "..",
    "a/13": "../../x",
    "14": "a/../../x",
    "15": ".git/config",
    "16": "a/.GIT/hooks",
    "17": "git~1/config",
    # With `5 -> .` in the tree this leaves it, although it counts no more steps up than down.
    "18": "5/../x",
}


def test_a_link_that_leaves_the_tree_is_left_out(git_run: GitRun) -> None:
    """By its text alone: absolute, above the top, up again after a name, or into a repository. It is reported."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    for path, target in (LINKS_THAT_STAY | LINKS_THAT_LEAVE).items():
        git_run.agent('mkdir -p "$(dirname "$LINK")"; ln -s "$TARGET" "$LINK"', LINK=path, TARGET=target)
    answer = git_run.stage()
    assert git_run.changes(answer) == {SPEC: "100644"} | dict.fromkeys(LINKS_THAT_STAY, "120000")
    assert {entry["path"] for entry in answer.result["left_out"]} == set(LINKS_THAT_LEAVE)


def test_a_file_that_became_a_link_out_of_the_tree_stays_a_file(git_run: GitRun) -> None:
    """The base's file is restored."""
    git_run.host({"config.toml": "safe\n"})
    git_run.clone()
    git_run.specify()
    git_run.agent("ln -sf /etc/passwd config.toml")
    answer = git_run.stage()
    assert set(git_run.changes(answer)) == {SPEC}
    assert git_run.blob(answer.result["commit"], "config.toml") == b"safe\n"


ATTRIBUTES = [
    "* text\n",
    "* text=auto\n",
    "*.txt text eol=crlf\n",
    "*.txt eol=lf\n",
    "*.txt working-tree-encoding=UTF-16LE-BOM text\n",
    "*.txt ident\n",
    "*.txt filter=lfs diff=lfs merge=lfs -text\n",
    "*.txt filter=unknown\n",
]


@pytest.mark.parametrize("attributes", ATTRIBUTES)
def test_files_that_the_agent_did_not_touch_do_not_change(git_run: GitRun, attributes: str) -> None:
    """Even if their line endings violate their own attributes: there is no normalisation."""
    git_run.host(
        {
            "crlf.txt": b"one\r\ntwo\r\n",
            "lf.txt": b"one\ntwo\n$Id$ $Id: old $\n",
            "mixed.txt": b"one\r\ntwo\n",
            "none.txt": b"no end",
            "pointer.txt": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n",
        },
        lambda source: _commit_attributes(source, attributes),
    )
    git_run.clone()
    git_run.specify()
    # As an editor or a tool does that writes every file again, and as a slow disk's clock shows it.
    git_run.agent('for f in *.txt; do cp "$f" copy; mv copy "$f"; done')
    assert set(git_run.changes(git_run.stage())) == {SPEC}


def _commit_attributes(source: Path, attributes: str) -> None:
    """Only after the files: they violate the rules, but the base contains them."""
    (source / ".gitattributes").write_text(attributes)
    git(source, "add", ".gitattributes")


def test_a_change_within_the_second_of_the_checkout_is_committed(git_run: GitRun) -> None:
    """Of the same size, in the same file: by its content, not by its times."""
    git_run.host({f"{number}.txt": "aaaa\n" for number in range(40)})
    git_run.clone()
    git_run.specify()
    git_run.agent('for f in *.txt; do printf bbbb | dd of="$f" conv=notrunc status=none; done')
    assert len(git_run.changes(git_run.stage())) == 41


def test_attributes_that_the_agent_writes_change_no_other_file(git_run: GitRun) -> None:
    """Where it is not protected, a new .gitattributes is an ordinary file; the other files stay as in the base."""
    git_run.host({"a.txt": b"one\r\n", "b.bin": b"\0\r\n"})
    git_run.clone()
    git_run.specify()
    git_run.agent("echo '* text eol=lf' > .gitattributes; touch a.txt b.bin")
    assert set(git_run.changes(git_run.stage(protected=[]))) == {SPEC, ".gitattributes"}


def with_submodule(source: Path) -> None:
    (source / ".gitmodules").write_text('[submodule "lib"]\n\tpath = vendor/lib\n\turl = https://example.invalid/lib\n')
    git(source, "add", "--all")
    git(source, "update-index", "--add", "--cacheinfo", f"160000,{GITLINK},vendor/lib")


@pytest.mark.parametrize(
    "act",
    [
        ":",
        "rmdir vendor/lib",
        "rm -r vendor",
        "echo file > vendor/lib/file",
        "rmdir vendor/lib; echo file > vendor/lib",
        "rmdir vendor/lib; ln -s .. vendor/lib",
        "git init -q vendor/lib; git -C vendor/lib commit -q --allow-empty -m x",
        "echo 'gitdir: /nowhere' > vendor/lib/.git",
        "chmod 0 vendor/lib",
        "git update-index --cacheinfo 160000,2222222222222222222222222222222222222222,vendor/lib",
    ],
)
def test_a_submodules_commit_never_changes(git_run: GitRun, act: str) -> None:
    """For any change at its path: the commit has the base's gitlink, and only the feature changes."""
    git_run.host(make=with_submodule)
    git_run.clone()
    git_run.specify()
    git_run.agent(act)
    answer = git_run.stage()
    assert set(git_run.changes(answer)) == {SPEC}
    entry = git(git_run.private / "clone.git", "ls-tree", answer.result["commit"], "vendor/lib").decode().split()
    assert entry[:3] == ["160000", "commit", GITLINK]


def test_no_submodule_is_added(git_run: GitRun) -> None:
    """A repository that the agent created is committed as files; .gitmodules with an absolute path has no effect."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    git_run.agent(
        "git init -q new; echo 1 > new/file; git -C new add -A; git -C new commit -q -m x; git add new 2>/dev/null;"
        "printf '[submodule \"x\"]\\n\\tpath = /etc\\n\\turl = /etc\\n' > .gitmodules"
    )
    answer = git_run.stage(protected=[])
    assert git_run.changes(answer) == {SPEC: "100644", "new/file": "100644", ".gitmodules": "100644"}


@pytest.mark.parametrize("target", ["/nowhere/{}", "../../../../{}", "/nowhere", ".git/{}"])
def test_links_out_of_the_tree_are_reported_briefly(git_run: GitRun, target: str) -> None:
    """Their number, and the first of them: the result has a few kilobytes."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    git_run.agent(f"mkdir links; cd links; {MAKE_LINKS} {MANY} '{target}'")
    answer = git_run.stage()
    assert answer.result["left_out_count"] == MANY
    assert len(answer.result["left_out"]) == MOST_LEFT_OUT
    assert len(json.dumps(answer.result)) < 64 * 1024
    assert [path for path in git_run.changes(answer) if path.startswith("links/")] == []


def test_all_links_are_read_by_one_process() -> None:
    """One process per link took 99 seconds for 60,000."""
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
    change = take_back(program, base, {"commit_scaffold": False, "protected": []})
    assert (change.kept, len(change.left_out)) == ([], MANY)
    assert sorted(calls) == ["cat-file", "diff-index", "update-index"]


def test_links_within_the_tree_stay(git_run: GitRun) -> None:
    """Each is judged by its own target, also if several have the same one."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    git_run.agent(
        "mkdir a; cd a; ln -s ../README.md one; ln -s ../README.md two; ln -s ../../x three; ln -s $'b\nc' four"
    )
    answer = git_run.stage()
    assert {path for path in git_run.changes(answer) if path.startswith("a/")} == {"a/one", "a/two", "a/four"}
    assert [entry["path"] for entry in answer.result["left_out"]] == ["a/three"]


def test_many_nested_repositories_are_reported_briefly(git_run: GitRun) -> None:
    """Their number, and the first of them."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    git_run.agent("for n in $(seq 1000); do mkdir n$n; touch n$n/.git; done")
    result = git_run.stage().result
    assert (result["nested_repository_count"], len(result["nested_repositories_removed"])) == (1000, MOST_LEFT_OUT)


def test_long_paths_are_cut(git_run: GitRun) -> None:
    """A path can have 4096 bytes, and there can be a hundred of them."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    git_run.agent('n=$(printf "x%.0s" $(seq 200)); mkdir -p $n/$n/$n/$n; ln -s /etc $n/$n/$n/$n/out')
    assert [len(entry["path"]) for entry in git_run.stage().result["left_out"]] == [500]
