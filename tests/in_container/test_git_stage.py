"""What of an agent's work tree becomes a commit: real Git, hostile trees."""

import json

import pytest

from tests.in_container.git_fixture import FEATURE, SPEC, GitRun, git


def test_modes_links_deletions_and_type_changes_are_kept(git_run: GitRun) -> None:
    """Executables, links inside the tree, removed files, files that become folders and vice versa."""
    git_run.host({"a.txt": "a\n", "b.txt": "b\n", "c.txt": "c\n", "d/e.txt": "e\n", "docs/x.md": "x\n"})
    git_run.clone()
    git_run.specify()
    git_run.agent(
        "echo '#!/bin/sh' > run.sh; chmod 755 run.sh; rm a.txt; rm b.txt; mkdir b.txt; echo n > b.txt/new;"
        "rm -r d; echo flat > d; rm c.txt; ln -s README.md c.txt; ln -s ../docs/x.md docs/self; chmod 755 docs/x.md"
    )
    assert git_run.changes(git_run.stage()) == {
        SPEC: "100644",
        "run.sh": "100755",
        "a.txt": "000000",
        "b.txt": "000000",
        "b.txt/new": "100644",
        "c.txt": "120000",
        "d": "100644",
        "d/e.txt": "000000",
        "docs/self": "120000",
        "docs/x.md": "100755",
    }


ODD = [
    "new\nline",
    'quo"te',
    "-leading",
    "tab\there",
    "back\\slash",
    "ünïcode",
    " blank ",
    "*glob?[x]",
    ":(top)x",
    "a|b`c",
]


def test_unusual_names_are_committed_unchanged(git_run: GitRun) -> None:
    """Line breaks, quotes, dashes, globs, bytes that are not UTF-8; each is reported with its line counts."""
    git_run.host({"old\nname": "1\n2\n"})
    git_run.clone()
    git_run.specify()
    for name in ODD:
        git_run.agent('printf "1\\n2\\n3\\n" > "$FEATURE/$NAME"; printf x > "./$NAME"', NAME=name)
    git_run.agent("printf 1 > \"$FEATURE/\"$'\\xff\\xfe'; rm $'old\\nname'; mkdir $'\\xe9'; echo 2 > $'\\xe9/f'")
    answer = git_run.stage()
    names = git_run.changes(answer)
    expected = (
        {f"{FEATURE}/{name}" for name in ODD} | set(ODD) | {f"{FEATURE}/\udcff\udcfe", "old\nname", "\udce9/f", SPEC}
    )
    assert set(names) == expected
    told = {file["path"]: (file["added"], file["removed"]) for file in answer.result["files"]}
    assert {told[f"{FEATURE}/{name}"] for name in ODD} == {(3, 0)}
    assert {told[name] for name in ODD} == {(1, 0)}
    assert told["old\nname"] == (0, 2)
    assert len(told) == len(expected)


def test_the_report_is_strict_json(git_run: GitRun) -> None:
    """A path that is not UTF-8 has replacement characters: strict readers refuse lone surrogates."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    git_run.agent("ln -s /etc/passwd $'\\xff-link'; mkdir -p $'\\xfe/.git'; echo 1 > $'\\xfd'")
    answer = git_run.stage()
    text = json.dumps(answer.result, ensure_ascii=False)
    assert text.encode().decode() == text
    assert [entry["path"] for entry in answer.result["left_out"]] == ["\ufffd-link"]
    assert answer.result["nested_repositories_removed"] == ["\ufffd/.git"]


def test_an_empty_folder_is_not_a_change(git_run: GitRun) -> None:
    """Only files count; an empty feature folder causes no error."""
    git_run.host()
    git_run.clone()
    git_run.agent('mkdir -p "$FEATURE" empty/deep')
    answer = git_run.stage()
    assert (answer.result["changed"], answer.result["commit"]) == (False, answer.result["base_commit"])


@pytest.mark.parametrize("feature", [None, "specs/002-missing", "README.md", "linked"])
def test_a_feature_that_is_not_a_folder_is_not_forced(git_run: GitRun, feature: str | None) -> None:
    """Missing, a file, or reached through a link: only what Git adds by itself."""
    git_run.host({".gitignore": "specs/\n", "README.md": "1\n"})
    git_run.clone()
    git_run.specify()
    git_run.agent("echo 2 > README.md; ln -s specs/001-dark-mode linked")
    assert set(git_run.changes(git_run.stage(feature_directory=feature))) == {"README.md", "linked"}


@pytest.mark.parametrize("attributes", ["*.md filter=evil", "*.md diff=evil", "*.md merge=evil", "* ident filter=evil"])
def test_no_filter_of_the_tree_runs(git_run: GitRun, attributes: str) -> None:
    """Drivers named by attributes, .gitconfig or the agent's own .git are not started."""
    git_run.host({".gitattributes": f"{attributes}\n"})
    git_run.clone()
    git_run.specify()
    mark = git_run.workspace / "ran"
    git_run.agent(
        "for kind in filter.evil.clean filter.evil.smudge diff.evil.command diff.evil.textconv core.fsmonitor;"
        ' do git config "$kind" "touch $MARK"; git config --file .gitconfig "$kind" "touch $MARK"; done;'
        'git config core.hooksPath "$PWD/hooks"; mkdir hooks;'
        "for hook in pre-commit post-index-change reference-transaction pre-push; do"
        ' printf "#!/bin/sh\\ntouch $MARK\\n" > hooks/$hook; chmod 755 hooks/$hook; done',
        MARK=str(mark),
    )
    mark.unlink(missing_ok=True)
    commit = git_run.stage().result["commit"]
    git_run.push(commit)
    assert not mark.exists()


def test_the_agents_own_git_does_not_affect_the_commit(git_run: GitRun) -> None:
    """Commits, branches, another index, excludes, alternates, grafts, replaced objects: only files count."""
    git_run.host({"a.txt": "a\n"})
    base = git_run.clone().result["base_commit"]
    git_run.specify()
    git_run.agent(
        "echo b > a.txt; git add -A; git commit -q -m mine; git tag mine; git checkout -q -b other;"
        'mkdir -p .git/info; echo "*.md" > .git/info/exclude; git update-index --assume-unchanged a.txt;'
        'git update-index --skip-worktree README.md 2>/dev/null || true; git rm -q --cached "$FEATURE/spec.md";'
        'git config core.worktree /tmp; git replace "$BASE" HEAD; echo "$BASE" > .git/shallow',
        BASE=base,
    )
    answer = git_run.stage()
    assert set(git_run.changes(answer)) == {SPEC, "a.txt"}
    assert git(git_run.private / "clone.git", "rev-parse", f"{answer.result['commit']}^").decode().strip() == base


def test_a_work_tree_that_became_a_link_is_refused(git_run: GitRun) -> None:
    """Only the run's own folder is ever committed, not the private one or the container's system."""
    git_run.host()
    git_run.clone()
    git_run.agent('mv ../repo ../gone; ln -s "$PRIVATE" ../repo', PRIVATE=str(git_run.private))
    answer = git_run.run("stage", **git_run.stage_job())
    assert (answer.code, answer.result) == (1, {})
    assert "is no longer a directory of this run" in answer.stderr


def test_the_report_of_a_large_change_is_short(git_run: GitRun) -> None:
    """Sixty thousand files, as a package manager leaves them: their number, and the first of them."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    git_run.agent(
        'mkdir -p node_modules; cd node_modules; python3 -c "import os\n'
        "for d in range(60):\n os.mkdir(f'package-with-a-long-name-{d}')\n"
        " for f in range(100): open(f'package-with-a-long-name-{d}/file-{f}.js','w').write('x')\""
    )
    answer = git_run.stage(max_bytes=100_000)
    assert (answer.result["too_large"], answer.result["file_count"]) == (True, 6001)
    assert len(json.dumps(answer.result)) < 500_000


def test_the_same_files_make_the_same_commit(git_run: GitRun) -> None:
    """On a second attempt, also after a new clone: the branch then counts as pushed."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    first = git_run.stage().result["commit"]
    assert git_run.stage().result["commit"] == first
    git_run.clone()
    git_run.specify()
    assert git_run.stage().result["commit"] == first


def test_a_commit_has_author_date_and_message(git_run: GitRun) -> None:
    """Author, committer and date of the job, its message, and the base as the only parent."""
    git_run.host()
    base = git_run.clone().result["base_commit"]
    git_run.specify()
    commit = git_run.stage(message="Add it\n\nMoonMind-Run: 1\n").result["commit"]
    shown = git(git_run.private / "clone.git", "log", "-1", "--format=%an|%ae|%cn|%ce|%at|%P|%B", commit).decode()
    who = "MoonMind Appliance|moonmind@example.invalid"
    assert shown.rstrip("\n") == f"{who}|{who}|1772366400|{base}|Add it\n\nMoonMind-Run: 1"


def test_the_size_of_the_volumes_is_measured_meanwhile(git_run: GitRun) -> None:
    """That of the work tree and of the private clone, so no second program has to."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    git_run.agent("head -c 3000000 /dev/urandom > large.bin")
    size = git_run.stage().result["size"]
    assert size["bytes"] > 3_000_000
    assert size["files"] > 20
    assert size["hidden"] == 0
