"""Which changes of the agent's tree are left out of the commit: scaffold, links, conversions, submodules."""

import json
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.in_container.feature_folder import DOCUMENTS
from moonmind_appliance.in_container.git_index import ABSENT, IN_THE_WAY, PROTECTED, SYMLINK, take_back
from moonmind_appliance.in_container.git_stage import MOST_LEFT_OUT
from moonmind_appliance.phases.acceptance import OUTPUT_FILES
from tests.in_container.git_fixture import FEATURE, Answer, GitRun, git

SPEC = f"{FEATURE}/spec.md"
GITLINK = "1" * 40
MANY = 3000
_LINKS = "python3 -c 'import os,sys\nfor n in range(int(sys.argv[1])): os.symlink(sys.argv[2].format(n), f\"l{n}\")'"


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
    git_run.agent(f"mkdir links; cd links; {_LINKS} {MANY} '{target}'")
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


WORKFLOW = ".github/workflows/ci.yml"
BASE = {
    WORKFLOW: "on: push\n",
    ".github/ISSUE_TEMPLATE/bug.md": "bug\n",
    ".gitattributes": "* text=auto\n",
    "src/.gitattributes": "*.x binary\n",
    "src/a.py": "1\n",
    "docs/CODEOWNERS": "* @acme/owners\n",
    "docs/index.md": "docs\n",
    "README.md": "# Shop\n",
}


def left_out(answer: Answer) -> dict[str, str]:
    """What was left out, by path."""
    return {entry["path"]: entry["reason"] for entry in answer.result["left_out"]}


def protected(what: str) -> str:
    return f"{PROTECTED}: {what}"


ON_PROTECTED = {
    "change": (f"echo evil >> {WORKFLOW}", {WORKFLOW: "not changed"}),
    "add": ("mkdir -p .gitea; echo x > .gitea/x.yml; echo x > Jenkinsfile", {".gitea/x.yml": "not added"}),
    "delete": (f"rm {WORKFLOW} docs/CODEOWNERS", {WORKFLOW: "not removed", "docs/CODEOWNERS": "not removed"}),
    "mode": (f"chmod 755 {WORKFLOW}", {WORKFLOW: "not changed"}),
    "rename": (f"mv {WORKFLOW} .github/workflows/other.yml", {WORKFLOW: "not removed"}),
    "case": ("mkdir -p .GitHub/Workflows; echo x > .GitHub/Workflows/x.yml", {".GitHub/Workflows/x.yml": "not added"}),
    "case of the file": (f"git mv -f {WORKFLOW} .github/workflows/CI.yml", {WORKFLOW: "not removed"}),
    "link": (f"ln -sf ../../README.md {WORKFLOW}", {WORKFLOW: "not changed"}),
    "new link": ("ln -s README.md .gitlab-ci.yml", {".gitlab-ci.yml": "not added"}),
    "folder": (f"rm {WORKFLOW}; mkdir {WORKFLOW}; echo x > {WORKFLOW}/x", {f"{WORKFLOW}/x": "not added"}),
    "ignored": ("echo .husky > .gitignore; mkdir .husky; echo x > .husky/pre-commit; git add -f .husky", {}),
    "odd name": ("mkdir .husky; echo x > $'.husky/\\xff\\n'", {".husky/\ufffd\n": "not added"}),
}


@pytest.mark.parametrize("name", ON_PROTECTED)
def test_a_change_at_a_protected_path_is_left_out_and_reported(git_run: GitRun, name: str) -> None:
    """Changes, additions, deletions, modes, renames, spellings, links: the base's files stay, all else is committed."""
    script, expected = ON_PROTECTED[name]
    git_run.host(BASE)
    git_run.clone()
    git_run.specify()
    git_run.agent(f"{script}; echo 2 > src/a.py")
    answer = git_run.stage()
    assert set(git_run.changes(answer)) - {".gitignore"} == {SPEC, "src/a.py"}
    reported = left_out(answer)
    assert {path: protected(what) for path, what in expected.items()}.items() <= reported.items()
    assert answer.result["protected_count"] == sum(reason.startswith(PROTECTED) for reason in reported.values())
    assert git_run.blob(answer.result["commit"], WORKFLOW) == b"on: push\n"


def test_a_link_in_the_place_of_a_folder_above_a_protected_path_is_left_out(git_run: GitRun) -> None:
    """The protected files in it stay. Other files that the agent removed there are removed."""
    git_run.host(BASE)
    git_run.clone()
    git_run.specify()
    git_run.agent("mkdir -p x/workflows; echo on > x/workflows/e.yml; rm -r .github; ln -s x .github")
    answer = git_run.stage()
    assert git_run.changes(answer) == {
        SPEC: "100644",
        "x/workflows/e.yml": "100644",
        ".github/ISSUE_TEMPLATE/bug.md": ABSENT,
    }
    assert left_out(answer) == {".github": protected("not added"), WORKFLOW: protected("not removed")}


def test_a_repository_in_the_place_of_such_a_folder_becomes_files_and_is_left_out(git_run: GitRun) -> None:
    """Neither a submodule nor any of its files is committed at a protected path."""
    git_run.host(BASE)
    git_run.clone()
    git_run.specify()
    git_run.agent(
        "git init -q .husky; echo x > .husky/pre-commit; git -C .husky add -A; git -C .husky commit -qm x;"
        "git add .husky 2>/dev/null"
    )
    answer = git_run.stage()
    assert set(git_run.changes(answer)) == {SPEC}
    assert left_out(answer) == {".husky/pre-commit": protected("not added")}


@pytest.mark.parametrize("place", ["rm -r {}; echo x > {}", "rm -r {}; ln -s README.md {}"])
@pytest.mark.parametrize("folder", ["src", "docs", ".github"])
def test_what_would_replace_a_folder_with_a_protected_file_is_left_out(
    git_run: GitRun, folder: str, place: str
) -> None:
    """A file cannot have the name of the folder in which a protected file stays."""
    git_run.host(BASE)
    git_run.clone()
    git_run.specify()
    git_run.agent(place.format(folder, folder))
    answer = git_run.stage()
    assert folder in left_out(answer)
    changes = git_run.changes(answer)
    assert folder not in changes
    assert {path for path, mode in changes.items() if mode != ABSENT} == {SPEC}
    kept = {"src": "src/.gitattributes", "docs": "docs/CODEOWNERS", ".github": WORKFLOW}[folder]
    assert git_run.blob(answer.result["commit"], kept)
    assert answer.result["file_count"] == len(changes)


def test_an_exception_below_a_protected_file_does_not_replace_it(git_run: GitRun) -> None:
    """The base has a file where the exception needs a folder."""
    git_run.host({".vscode": "a file\n"})
    git_run.clone()
    git_run.specify()
    git_run.agent("rm .vscode; mkdir .vscode; echo {} > .vscode/settings.json")
    answer = git_run.stage(protected=[".vscode/", "!.vscode/settings.json"])
    assert set(git_run.changes(answer)) == {SPEC}
    assert left_out(answer) == {".vscode": protected("not removed"), ".vscode/settings.json": IN_THE_WAY}


def test_what_a_protected_link_of_the_base_leads_to_is_protected(git_run: GitRun) -> None:
    """A file at another path is then the configuration."""

    def link(source: Path) -> None:
        (source / ".gitlab-ci.yml").symlink_to("ci/pipeline.yml")
        (source / ".husky").symlink_to("tools/hooks")
        git(source, "add", "--all")

    git_run.host({"ci/pipeline.yml": "a: 1\n", "ci/notes.md": "n\n", "tools/hooks/pre-commit": "#!/bin/sh\n"}, link)
    git_run.clone()
    git_run.specify()
    git_run.agent("echo x >> ci/pipeline.yml; echo x >> ci/notes.md; echo x >> tools/hooks/pre-commit")
    answer = git_run.stage()
    assert set(git_run.changes(answer)) == {SPEC, "ci/notes.md"}
    assert set(left_out(answer)) == {"ci/pipeline.yml", "tools/hooks/pre-commit"}


def test_only_protected_changes_are_no_change(git_run: GitRun) -> None:
    """The tree is that of the base, but the changes are reported."""
    git_run.host(BASE)
    git_run.clone()
    git_run.agent(f"echo evil >> {WORKFLOW}; rm .gitattributes; echo '* -text' > src/.gitattributes")
    answer = git_run.stage()
    assert (answer.result["changed"], answer.result["commit"]) == (False, answer.result["base_commit"])
    assert answer.result["protected_count"] == len(left_out(answer)) == 3


@pytest.mark.parametrize("act", ["echo x > real/ci.yml", "ln -sfn evil link; mkdir evil; echo x > evil/ci.yml"])
def test_a_link_in_the_middle_of_a_protected_links_target_stays(git_run: GitRun, act: str) -> None:
    """Neither the file to which the links lead nor such a link is changed."""

    def link(source: Path) -> None:
        (source / ".gitlab-ci.yml").symlink_to("link/ci.yml")
        (source / "link").symlink_to("real")
        git(source, "add", "--all")

    git_run.host({"real/ci.yml": "a: 1\n"}, link)
    git_run.clone()
    git_run.specify()
    git_run.agent(act)
    answer = git_run.stage()
    assert set(git_run.changes(answer)) - {"evil/ci.yml"} == {SPEC}
    assert list(left_out(answer).values()) == [protected("not changed")]


DOCUMENT_PATTERNS = [
    (["specs/"], True),
    ([f"/{FEATURE}"], True),
    (["spec.md"], True),
    (["spec.*"], True),
    (["/specs/002-x/"], False),
    (["action.yml"], False),
    ([], False),
]


@pytest.mark.parametrize(("patterns", "expected"), DOCUMENT_PATTERNS)
def test_a_feature_at_a_protected_path_is_reported(git_run: GitRun, patterns: list[str], *, expected: bool) -> None:
    """Its documents are the purpose of the run; another file of its folder is only left out."""
    assert set(DOCUMENTS) == set(OUTPUT_FILES.values())
    git_run.host(BASE)
    git_run.clone()
    git_run.specify()
    git_run.agent('mkdir "$FEATURE/contracts"; echo x > "$FEATURE/contracts/action.yml"')
    answer = git_run.stage(protected=patterns)
    assert answer.result["feature_protected"] is expected
    if patterns == ["action.yml"]:
        assert set(git_run.changes(answer)) == {SPEC}
        assert left_out(answer) == {f"{FEATURE}/contracts/action.yml": protected("not added")}


def test_without_protected_paths_everything_is_committed(git_run: GitRun) -> None:
    """PROTECTED_PATHS=none protects no path."""
    git_run.host(BASE)
    git_run.clone()
    git_run.specify()
    git_run.agent(f"echo x >> {WORKFLOW}; rm docs/CODEOWNERS; mkdir .husky; echo x > .husky/pre-commit")
    answer = git_run.stage(protected=[])
    assert set(git_run.changes(answer)) == {SPEC, WORKFLOW, "docs/CODEOWNERS", ".husky/pre-commit"}
    assert (answer.result["protected_count"], left_out(answer)) == (0, {})


def test_protected_paths_are_reported_before_others(git_run: GitRun) -> None:
    """An agent cannot displace them from the shortened list with other paths."""
    git_run.host(BASE)
    git_run.clone()
    git_run.specify()
    git_run.agent(f"{_LINKS} {MOST_LEFT_OUT + 50} /etc/{{}}; echo evil >> {WORKFLOW}")
    answer = git_run.stage()
    assert answer.result["left_out"][0]["path"] == WORKFLOW
    assert answer.result["left_out_count"] == MOST_LEFT_OUT + 51


def test_staging_protected_changes_again_gives_the_same(git_run: GitRun) -> None:
    """An attempt may be repeated: the agent's files stay as they are."""
    git_run.host(BASE)
    git_run.clone()
    git_run.specify()
    git_run.agent(f"echo evil >> {WORKFLOW}; rm docs/CODEOWNERS")
    first, second = git_run.stage(), git_run.stage()
    assert first.result["commit"] == second.result["commit"]
    assert left_out(first) == left_out(second)


def test_spec_kits_own_output_is_committed(git_run: GitRun) -> None:
    """Its records, skills and features are committed, also those below .github and those for other agents."""
    names = [
        ".specify/memory/note.md",
        ".specify/extensions.yml",
        ".agents/skills/speckit-plan/SKILL.md",
        ".github/skills/speckit-plan/SKILL.md",
        ".github/prompts/speckit.plan.prompt.md",
        ".claude/skills/speckit-plan/SKILL.md",
        "specs/001-dark-mode/contracts/api.yml",
        "specs/001-dark-mode/checklists/requirements.md",
    ]
    git_run.host(BASE)
    git_run.clone()
    git_run.specify()
    for name in names:
        git_run.agent('mkdir -p "$(dirname "$NAME")"; echo x > "$NAME"', NAME=name)
    answer = git_run.stage(commit_scaffold=True)
    assert set(names) <= set(git_run.changes(answer))
    assert answer.result["protected_count"] == 0
