"""What of an agent's work tree becomes a commit, and what is pushed: real git, a real server, hostile trees."""

import json
from pathlib import Path

import pytest

from moonmind_appliance.in_container import git_container
from tests.in_container.git_fixture import BRANCH, CHANGES_USER, FEATURE, Laboratory, git

SPEC = f"{FEATURE}/spec.md"
ours_alone = pytest.mark.skipif(not CHANGES_USER, reason="permissions do not bind the user of these tests")


# Clone


def test_a_clone_has_the_base_branch_and_nothing_else(lab: Laboratory) -> None:
    """Files with their modes and links; a private clone whose HEAD is the run's branch at the base; no tags."""

    def make(source: Path) -> None:
        (source / "run.sh").write_text("#!/bin/sh\n")
        (source / "run.sh").chmod(0o755)
        (source / "link").symlink_to("README.md")
        git(source, "add", "--all")

    lab.host(make=make)
    git(lab.hosted, "tag", "v1", "main")
    git(lab.hosted, "branch", "other", "main")
    answer = lab.clone()
    private = lab.private / "clone.git"
    assert answer.result["base_commit"] == git(lab.hosted, "rev-parse", "main").decode().strip()
    assert (lab.repository / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (lab.repository / "link").readlink() == Path("README.md")
    refs = git(private, "for-each-ref", "--format=%(refname)").decode().split()
    assert refs == ["refs/heads/main", f"refs/heads/{BRANCH}"]
    assert git(private, "symbolic-ref", "HEAD").decode().strip() == f"refs/heads/{BRANCH}"


@pytest.mark.parametrize(("depth", "commits"), [(2, 2), (0, 5)])
def test_a_clone_is_as_deep_as_asked(lab: Laboratory, depth: int, commits: int) -> None:
    """`depth` commits of history, 0 for all; either way the change can be committed and pushed."""
    lab.host(history=5)
    lab.clone(depth=depth)
    assert git(lab.private / "clone.git", "rev-list", "--count", "main").decode().strip() == str(commits)
    lab.specify()
    commit = lab.stage().result["commit"]
    assert lab.push(commit).result["pushed"] is True
    assert git(lab.hosted, "rev-list", "--count", BRANCH).decode().strip() == "6"


def test_a_base_branch_may_have_slashes(lab: Laboratory) -> None:
    """`release/2026/q1` is a branch as any other."""
    lab.host(branch="release/2026/q1")
    lab.clone(base_branch="release/2026/q1")
    assert (lab.repository / "README.md").is_file()


@pytest.mark.parametrize("base", ["missing", "--upload-pack=touch pwned", "v1"])
def test_a_base_branch_that_is_none_is_gits_refusal(lab: Laboratory, base: str) -> None:
    """A branch that is not there, an option in disguise, a tag: exit code 1 and git's words."""
    lab.host()
    git(lab.hosted, "tag", "v1", "main")
    answer = lab.run("clone", base_branch=base)
    assert (answer.code, answer.result) == (1, {})
    assert "couldn't find remote ref" in answer.stderr or "invalid refspec" in answer.stderr


def test_the_token_is_in_no_file(lab: Laboratory) -> None:
    """Neither the private clone nor the agent's copy nor any other file holds it, in no encoding of git's."""
    lab.host()
    lab.clone()
    assert b"extraHeader" not in (lab.repository / ".git/config").read_bytes()
    lab.specify()
    lab.push(lab.stage().result["commit"])
    files = [path for path in lab.root.rglob("*") if path.is_file()]
    hits = [str(path) for path in files if b"laboratoryToken" in path.read_bytes()]
    assert len(files) > 20
    assert hits == []


def test_a_clone_begins_anew_whatever_the_agent_left(lab: Laboratory) -> None:
    """Folders nobody may write to (as Go's module cache makes them), links and files in place of folders."""
    lab.host()
    lab.clone()
    lab.agent(
        "mkdir -p cache/mod sealed; echo 1 > cache/mod/a; echo 2 > sealed/b; chmod 0555 cache/mod; chmod 0 sealed"
    )
    lab.agent("cd ..; mv repo gone; ln -s /etc repo; echo x > out")
    answer = lab.clone()
    assert sorted(entry.name for entry in lab.repository.iterdir()) == [".agents", ".git", ".specify", "README.md"]
    assert [entry.name for entry in lab.workspace.iterdir()] == ["repo"]
    assert not lab.repository.is_symlink()
    assert answer.result["scaffold_files"] == 5


DEEP = """python3 -c 'import os
for _ in range({levels}):
    os.mkdir("d"); os.chdir("d")
open("f", "w").close()'"""


def test_a_tree_deeper_than_a_path_is_long_is_refused_in_one_line(lab: Laboratory) -> None:
    """No trace of a program; and the next clone begins anew all the same."""
    lab.host()
    lab.clone()
    lab.agent(DEEP.format(levels=3000))
    answer = lab.run("stage", **lab.stage_job())
    assert (answer.code, answer.result) == (1, {})
    assert "File name too long" in answer.stderr
    assert "Traceback" not in answer.stderr
    lab.clone()
    assert not (lab.repository / "d").exists()


def test_a_deep_tree_is_committed(lab: Laboratory) -> None:
    """As deep as git itself goes."""
    lab.host()
    lab.clone()
    lab.specify()
    lab.agent(DEEP.format(levels=1000))
    assert len(lab.changes(lab.stage())) == 2


def test_a_clone_replaces_a_repository_that_became_a_link(lab: Laboratory) -> None:
    """The link is removed, what it points to stays."""
    lab.host()
    lab.clone()
    lab.agent("mkdir ../../elsewhere; echo keep > ../../elsewhere/file; mv ../repo ../gone; ln -s ../elsewhere ../repo")
    lab.clone()
    assert not lab.repository.is_symlink()
    assert (lab.workspace.parent / "elsewhere/file").read_text() == "keep\n"


# Scaffold


def test_the_scaffold_is_copied_where_it_is_missing(lab: Laboratory) -> None:
    """All of it into a repository without Spec Kit, with modes; none of it counts as a change."""
    lab.host()
    answer = lab.clone()
    assert answer.result["scaffold_files"] == 5
    assert (lab.repository / ".specify/scripts/bash/common.sh").stat().st_mode & 0o777 == 0o755
    assert lab.stage().result["changed"] is False


def test_a_repositorys_own_spec_kit_files_stay(lab: Laboratory) -> None:
    """Its own template of another version is neither replaced nor lost; only what is missing comes beside it."""
    lab.host({".specify/templates/spec-template.md": "# Ours, of 0.9\n"})
    lab.clone()
    assert (lab.repository / ".specify/templates/spec-template.md").read_text() == "# Ours, of 0.9\n"
    assert (lab.repository / ".specify/scripts/bash/common.sh").is_file()
    lab.specify()
    lab.agent("echo more >> .specify/templates/spec-template.md; echo x > .specify/memory/constitution.md")
    assert set(lab.changes(lab.stage())) == {SPEC, ".specify/templates/spec-template.md"}


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (".specify", "../.."),
        (".specify", "/usr"),
        (".specify/templates", "../../../escape"),
        (".agents", "docs"),
        (".agents/skills/speckit-plan", "../../../../escape"),
    ],
)
def test_nothing_is_written_through_a_link(lab: Laboratory, path: str, target: str) -> None:
    """A link that the repository brings in place of a Spec Kit folder is left as it is, and not followed."""

    def make(source: Path) -> None:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).symlink_to(target)
        git(source, "add", "--all")

    lab.host({"docs/a.md": "a\n"}, make)
    (lab.root / "escape").mkdir()
    before = set(lab.root.iterdir()) | set(lab.workspace.parent.iterdir())
    lab.clone()
    assert (lab.repository / path).readlink() == Path(target)
    assert list((lab.root / "escape").iterdir()) == []
    assert [p.name for p in (lab.repository / "docs").iterdir()] == ["a.md"]
    assert set(lab.root.iterdir()) | set(lab.workspace.parent.iterdir()) - {lab.workspace} == before
    lab.specify()
    assert set(lab.changes(lab.stage())) == {SPEC}


@pytest.mark.parametrize("path", [".agents", ".specify", ".specify/templates", ".agents/skills/speckit-plan/SKILL.md"])
def test_a_file_in_place_of_a_spec_kit_folder_stays(lab: Laboratory, path: str) -> None:
    """The clone succeeds; what cannot be put below a file is left out."""
    lab.host({path: "mine\n"})
    lab.clone()
    assert (lab.repository / path).read_text() == "mine\n"
    lab.specify()
    assert set(lab.changes(lab.stage())) == {SPEC}


@pytest.mark.parametrize("ignore", ["specs/\n", "*\n", "!.specify/\n!.specify/**\n!.agents/\n", "*.md\n!README.md\n"])
def test_the_feature_is_committed_and_the_scaffold_is_not_whatever_gitignore_says(lab: Laboratory, ignore: str) -> None:
    """By force where specs/ is ignored; and a negation does not bring the scaffold in."""
    lab.host({".gitignore": ignore})
    lab.clone()
    lab.specify()
    lab.agent("echo '{}' > .specify/feature.json; mkdir -p .agents/skills/mine; echo x > .agents/skills/mine/SKILL.md")
    answer = lab.stage()
    assert set(lab.changes(answer)) == {SPEC}
    assert answer.result["left_out"] == []


def test_the_scaffold_is_committed_where_the_operator_wants_it(lab: Laboratory) -> None:
    """With COMMIT_SCAFFOLD its files are part of the change."""
    lab.host()
    lab.clone()
    lab.specify()
    names = set(lab.changes(lab.stage(commit_scaffold=True)))
    assert {SPEC, ".specify/templates/spec-template.md", ".agents/skills/speckit-plan/SKILL.md"} <= names


# What becomes part of the commit


def test_modes_links_deletions_and_type_changes_are_kept(lab: Laboratory) -> None:
    """Executables, links that stay inside, removed files, files that become folders and the other way round."""
    lab.host({"a.txt": "a\n", "b.txt": "b\n", "c.txt": "c\n", "d/e.txt": "e\n", "docs/x.md": "x\n"})
    lab.clone()
    lab.specify()
    lab.agent(
        "echo '#!/bin/sh' > run.sh; chmod 755 run.sh; rm a.txt; rm b.txt; mkdir b.txt; echo n > b.txt/new;"
        "rm -r d; echo flat > d; rm c.txt; ln -s README.md c.txt; ln -s ../docs/x.md docs/self; chmod 755 docs/x.md"
    )
    assert lab.changes(lab.stage()) == {
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


def test_a_link_that_leaves_the_tree_is_left_out(lab: Laboratory) -> None:
    """By its text alone: absolute, above the top, up again behind a name, or into a repository. Reviewers are told."""
    lab.host()
    lab.clone()
    lab.specify()
    for path, target in (LINKS_THAT_STAY | LINKS_THAT_LEAVE).items():
        lab.agent('mkdir -p "$(dirname "$LINK")"; ln -s "$TARGET" "$LINK"', LINK=path, TARGET=target)
    answer = lab.stage()
    assert lab.changes(answer) == {SPEC: "100644"} | dict.fromkeys(LINKS_THAT_STAY, "120000")
    assert {entry["path"] for entry in answer.result["left_out"]} == set(LINKS_THAT_LEAVE)


def test_a_file_that_became_a_link_out_of_the_tree_stays_a_file(lab: Laboratory) -> None:
    """The base's file is put back."""
    lab.host({"config.toml": "safe\n"})
    lab.clone()
    lab.specify()
    lab.agent("ln -sf /etc/passwd config.toml")
    answer = lab.stage()
    assert set(lab.changes(answer)) == {SPEC}
    assert lab.blob(answer.result["commit"], "config.toml") == b"safe\n"


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


def test_odd_names_are_committed_as_they_are(lab: Laboratory) -> None:
    """Line breaks, quotes, dashes, globs, magic words, bytes that are no UTF-8; each is told with its line counts."""
    lab.host({"old\nname": "1\n2\n"})
    lab.clone()
    lab.specify()
    for name in ODD:
        lab.agent('printf "1\\n2\\n3\\n" > "$FEATURE/$NAME"; printf x > "./$NAME"', NAME=name)
    lab.agent("printf 1 > \"$FEATURE/\"$'\\xff\\xfe'; rm $'old\\nname'; mkdir $'\\xe9'; echo 2 > $'\\xe9/f'")
    answer = lab.stage()
    names = lab.changes(answer)
    expected = (
        {f"{FEATURE}/{name}" for name in ODD} | set(ODD) | {f"{FEATURE}/\udcff\udcfe", "old\nname", "\udce9/f", SPEC}
    )
    assert set(names) == expected
    told = {file["path"]: (file["added"], file["removed"]) for file in answer.result["files"]}
    assert {told[f"{FEATURE}/{name}"] for name in ODD} == {(3, 0)}
    assert {told[name] for name in ODD} == {(1, 0)}
    assert told["old\nname"] == (0, 2)
    assert len(told) == len(expected)


def test_what_is_told_can_be_read_as_json_by_anybody(lab: Laboratory) -> None:
    """A path that is no UTF-8 comes with replacement characters: lone surrogates are no JSON to a strict reader."""
    lab.host()
    lab.clone()
    lab.specify()
    lab.agent("ln -s /etc/passwd $'\\xff-link'; mkdir -p $'\\xfe/.git'; echo 1 > $'\\xfd'")
    answer = lab.stage()
    text = json.dumps(answer.result, ensure_ascii=False)
    assert text.encode().decode() == text
    assert [entry["path"] for entry in answer.result["left_out"]] == ["\ufffd-link"]
    assert answer.result["nested_repositories_removed"] == ["\ufffd/.git"]


def test_an_empty_folder_is_no_change(lab: Laboratory) -> None:
    """Only files count; an empty feature folder fails nothing."""
    lab.host()
    lab.clone()
    lab.agent('mkdir -p "$FEATURE" empty/deep')
    answer = lab.stage()
    assert (answer.result["changed"], answer.result["commit"]) == (False, answer.result["base_commit"])


@pytest.mark.parametrize("feature", [None, "specs/002-missing", "README.md", "linked"])
def test_a_feature_that_is_no_folder_is_not_forced(lab: Laboratory, feature: str | None) -> None:
    """Missing, a file, or reached through a link: only what git adds by itself."""
    lab.host({".gitignore": "specs/\n", "README.md": "1\n"})
    lab.clone()
    lab.specify()
    lab.agent("echo 2 > README.md; ln -s specs/001-dark-mode linked")
    assert set(lab.changes(lab.stage(feature_directory=feature))) == {"README.md", "linked"}


# Files that git converts


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
def test_files_that_the_agent_did_not_touch_do_not_change(lab: Laboratory, attributes: str) -> None:
    """Whatever line endings the base has against its own attributes: nobody asked for a normalisation."""
    lab.host(
        {
            "crlf.txt": b"one\r\ntwo\r\n",
            "lf.txt": b"one\ntwo\n$Id$ $Id: old $\n",
            "mixed.txt": b"one\r\ntwo\n",
            "none.txt": b"no end",
            "pointer.txt": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n",
        },
        lambda source: _commit_attributes(source, attributes),
    )
    lab.clone()
    lab.specify()
    # As an editor or a tool does that writes every file again, and as a slow disk's clock shows it.
    lab.agent('for f in *.txt; do cp "$f" copy; mv copy "$f"; done')
    assert set(lab.changes(lab.stage())) == {SPEC}


def _commit_attributes(source: Path, attributes: str) -> None:
    """Only behind the files: they are in the base as they are, against the rules."""
    (source / ".gitattributes").write_text(attributes)
    git(source, "add", ".gitattributes")


def test_a_change_within_the_second_of_the_checkout_is_seen(lab: Laboratory) -> None:
    """Of the same size, in the same file: by its content, not by its times."""
    lab.host({f"{number}.txt": "aaaa\n" for number in range(40)})
    lab.clone()
    lab.specify()
    lab.agent('for f in *.txt; do printf bbbb | dd of="$f" conv=notrunc status=none; done')
    assert len(lab.changes(lab.stage())) == 41


def test_attributes_that_the_agent_writes_change_no_other_file(lab: Laboratory) -> None:
    """A new .gitattributes is a file as any other; the rest of the tree stays as the base has it."""
    lab.host({"a.txt": b"one\r\n", "b.bin": b"\0\r\n"})
    lab.clone()
    lab.specify()
    lab.agent("echo '* text eol=lf' > .gitattributes; touch a.txt b.bin")
    assert set(lab.changes(lab.stage())) == {SPEC, ".gitattributes"}


@pytest.mark.parametrize("attributes", ["*.md filter=evil", "*.md diff=evil", "*.md merge=evil", "* ident filter=evil"])
def test_no_filter_of_the_tree_runs(lab: Laboratory, attributes: str) -> None:
    """Drivers that attributes, .gitconfig or the agent's own .git name are not started."""
    lab.host({".gitattributes": f"{attributes}\n"})
    lab.clone()
    lab.specify()
    mark = lab.workspace / "ran"
    lab.agent(
        "for kind in filter.evil.clean filter.evil.smudge diff.evil.command diff.evil.textconv core.fsmonitor;"
        ' do git config "$kind" "touch $MARK"; git config --file .gitconfig "$kind" "touch $MARK"; done;'
        'git config core.hooksPath "$PWD/hooks"; mkdir hooks;'
        "for hook in pre-commit post-index-change reference-transaction pre-push; do"
        ' printf "#!/bin/sh\\ntouch $MARK\\n" > hooks/$hook; chmod 755 hooks/$hook; done',
        MARK=str(mark),
    )
    mark.unlink(missing_ok=True)
    commit = lab.stage().result["commit"]
    lab.push(commit)
    assert not mark.exists()


# Nested repositories and submodules


def test_nested_repositories_are_removed_in_every_shape(lab: Laboratory) -> None:
    """Folder, file, link, any case, in folders nobody may enter or write to; their other files are committed."""
    lab.host()
    lab.clone()
    lab.specify()
    lab.agent(
        "git init -q one; echo 1 > one/file;"
        "mkdir two; echo 'gitdir: ../one/.git' > two/.git; echo 2 > two/file;"
        "mkdir three; ln -s ../one/.git three/.git; echo 3 > three/file;"
        "mkdir -p four/.GIT; echo 4 > four/.GIT/config; echo 4 > four/file;"
        "git init -q five; echo 5 > five/file; chmod 0555 five;"
        "git init -q six; echo 6 > six/file; chmod 0 six;"
        "git init -q seven; chmod 0 seven/.git; echo 7 > seven/file;"
        "ln -s /etc/.git eight"
    )
    answer = lab.stage()
    inside = {"one/.git", "two/.git", "three/.git", "four/.GIT", "five/.git", "six/.git", "seven/.git"}
    assert set(answer.result["nested_repositories_removed"]) == inside
    names = lab.changes(answer)
    assert set(names) == {
        SPEC,
        *(f"{folder}/file" for folder in ("one", "two", "three", "four", "five", "six", "seven")),
    }
    assert not (lab.repository / ".git").exists()


def test_a_folder_that_looks_like_a_bare_repository_is_a_folder(lab: Laboratory) -> None:
    """HEAD, objects, refs and a config with programs in it: files to commit, and nothing of it is run."""
    lab.host()
    lab.clone()
    lab.specify()
    mark = lab.workspace / "ran"
    lab.agent(
        'git init -q --bare bare; git -C bare config core.fsmonitor "touch $MARK"; git -C bare config core.worktree ..;'
        "echo x > bare/refs/x",
        MARK=str(mark),
    )
    mark.unlink(missing_ok=True)
    names = lab.changes(lab.stage())
    assert {"bare/HEAD", "bare/config", "bare/refs/x"} <= set(names)
    assert not mark.exists()


TAKEN_FOR_GIT = ["git~1", "GIT~1", ".git ", ".git. .", ".g\u200cit", ".git::$INDEX_ALLOCATION", "x\\.git"]


def test_names_that_other_systems_take_for_dot_git_are_left_out(lab: Laboratory) -> None:
    """GitHub takes no push with them, and git refuses some: the rest of the change is committed all the same."""
    lab.host()
    lab.clone()
    lab.specify()
    for name in TAKEN_FOR_GIT:
        lab.agent(
            'mkdir -p "deep/$NAME"; echo x > "deep/$NAME/config"; echo y > deep/file; echo z > "$NAME"', NAME=name
        )
    answer = lab.stage()
    assert set(lab.changes(answer)) == {SPEC, "deep/file"}
    removed = set(answer.result["nested_repositories_removed"])
    assert removed == {*TAKEN_FOR_GIT, *(f"deep/{name}" for name in TAKEN_FOR_GIT)}


@pytest.mark.parametrize("name", ["git~2", ".gitx", ".git_", "x.git", ".github", ".gitignore", "digit~1"])
def test_names_that_only_resemble_dot_git_are_names(name: str) -> None:
    """They are committed as any other."""
    assert not git_container.is_git_name(name)


def test_what_is_neither_file_nor_folder_nor_link_is_not_committed(lab: Laboratory) -> None:
    """A pipe in place of a file of the base, a socket beside it: they fail nothing; the file is gone."""
    lab.host({"a.txt": "a\n"})
    lab.clone()
    lab.specify()
    lab.agent("rm a.txt; mkfifo a.txt pipe; python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('sock')\"")
    assert lab.changes(lab.stage()) == {SPEC: "100644", "a.txt": "000000"}


@ours_alone
def test_files_that_nobody_may_read_are_committed(lab: Laboratory) -> None:
    """The agent's files are the appliance's to read, whatever their mode; the executable bit stays as it is."""
    lab.host({"kept/a.txt": "a\n"})
    lab.clone()
    lab.specify()
    lab.agent("echo s > secret; chmod 0 secret; chmod 0 kept; mkdir shut; echo n > shut/new; chmod 0111 shut")
    assert lab.changes(lab.stage()) == {SPEC: "100644", "secret": "100644", "shut/new": "100644"}


def test_a_link_named_gitmodules_is_left_out(lab: Laboratory) -> None:
    """An index takes none: the rest is committed."""
    lab.host()
    lab.clone()
    lab.specify()
    lab.agent("echo x > real; ln -s real .gitmodules; mkdir sub; ln -s ../real sub/.gitmodules")
    answer = lab.stage()
    assert set(lab.changes(answer)) == {SPEC, "real"}
    assert {entry["path"] for entry in answer.result["left_out"]} == {".gitmodules", "sub/.gitmodules"}


GITLINK = "1" * 40


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
def test_a_submodules_commit_never_changes(lab: Laboratory, act: str) -> None:
    """Whatever is done at its path; the commit has the base's gitlink, and the change is the feature alone."""
    lab.host(make=with_submodule)
    lab.clone()
    lab.specify()
    lab.agent(act)
    answer = lab.stage()
    assert set(lab.changes(answer)) == {SPEC}
    entry = git(lab.private / "clone.git", "ls-tree", answer.result["commit"], "vendor/lib").decode().split()
    assert entry[:3] == ["160000", "commit", GITLINK]


def test_no_submodule_is_added(lab: Laboratory) -> None:
    """A repository that the agent made is files; .gitmodules with an absolute path has no effect."""
    lab.host()
    lab.clone()
    lab.specify()
    lab.agent(
        "git init -q new; echo 1 > new/file; git -C new add -A; git -C new commit -q -m x; git add new 2>/dev/null;"
        "printf '[submodule \"x\"]\\n\\tpath = /etc\\n\\turl = /etc\\n' > .gitmodules"
    )
    assert lab.changes(lab.stage()) == {SPEC: "100644", "new/file": "100644", ".gitmodules": "100644"}


def test_the_agents_own_git_does_not_reach_the_commit(lab: Laboratory) -> None:
    """Commits, branches, another index, excludes, alternates, grafts, replaced objects: only files count."""
    lab.host({"a.txt": "a\n"})
    base = lab.clone().result["base_commit"]
    lab.specify()
    lab.agent(
        "echo b > a.txt; git add -A; git commit -q -m mine; git tag mine; git checkout -q -b other;"
        'mkdir -p .git/info; echo "*.md" > .git/info/exclude; git update-index --assume-unchanged a.txt;'
        'git update-index --skip-worktree README.md 2>/dev/null || true; git rm -q --cached "$FEATURE/spec.md";'
        'git config core.worktree /tmp; git replace "$BASE" HEAD; echo "$BASE" > .git/shallow',
        BASE=base,
    )
    answer = lab.stage()
    assert set(lab.changes(answer)) == {SPEC, "a.txt"}
    assert git(lab.private / "clone.git", "rev-parse", f"{answer.result['commit']}^").decode().strip() == base


def test_a_work_tree_that_became_a_link_is_refused(lab: Laboratory) -> None:
    """Nothing but the run's own folder is ever committed: not the private one, not the container's system."""
    lab.host()
    lab.clone()
    lab.agent('mv ../repo ../gone; ln -s "$PRIVATE" ../repo', PRIVATE=str(lab.private))
    answer = lab.run("stage", **lab.stage_job())
    assert (answer.code, answer.result) == (1, {})
    assert "is no longer a directory of this run" in answer.stderr


# Size


def test_a_change_over_the_limit_is_told_and_not_handed_out(lab: Laboratory) -> None:
    """Its size is said; no patch follows. One below the limit comes whole."""
    lab.host()
    lab.clone()
    lab.specify()
    small = lab.stage()
    assert (small.result["too_large"], len(small.patch)) == (False, small.result["patch_bytes"])
    lab.agent("head -c 300000 /dev/urandom > big")
    large = lab.stage(max_bytes=200_000)
    assert (large.result["too_large"], large.patch) == (True, b"")
    assert large.result["patch_bytes"] > 200_000


def test_a_huge_file_is_refused_without_being_read_into_memory(lab: Laboratory) -> None:
    """More than git can show at all: too large, no failure, and at once."""
    lab.host()
    lab.clone()
    lab.specify()
    lab.agent("truncate -s 100M huge")
    answer = lab.stage()
    assert answer.result["too_large"] is True
    assert answer.result["patch_bytes"] >= 100 * 1024**2
    assert not (lab.private / "change.patch").exists()


def test_what_is_told_of_a_large_change_stays_short(lab: Laboratory) -> None:
    """Sixty thousand files, as a package manager leaves them: their number, and the first of them."""
    lab.host()
    lab.clone()
    lab.specify()
    lab.agent(
        'mkdir -p node_modules; cd node_modules; python3 -c "import os\n'
        "for d in range(60):\n os.mkdir(f'package-with-a-long-name-{d}')\n"
        " for f in range(100): open(f'package-with-a-long-name-{d}/file-{f}.js','w').write('x')\""
    )
    answer = lab.stage(max_bytes=100_000)
    assert (answer.result["too_large"], answer.result["file_count"]) == (True, 6001)
    assert len(json.dumps(answer.result)) < 500_000


# Commit and push


def test_the_same_files_make_the_same_commit(lab: Laboratory) -> None:
    """On a second attempt, also after a new clone: the branch then counts as pushed."""
    lab.host()
    lab.clone()
    lab.specify()
    first = lab.stage().result["commit"]
    assert lab.stage().result["commit"] == first
    lab.clone()
    lab.specify()
    assert lab.stage().result["commit"] == first


def test_a_commit_says_who_and_when_and_why(lab: Laboratory) -> None:
    """Author, committer and date of the job, its message, one parent: the base."""
    lab.host()
    base = lab.clone().result["base_commit"]
    lab.specify()
    commit = lab.stage(message="Add it\n\nMoonMind-Run: 1\n").result["commit"]
    shown = git(lab.private / "clone.git", "log", "-1", "--format=%an|%ae|%cn|%ce|%at|%P|%B", commit).decode()
    who = "MoonMind Appliance|moonmind@example.invalid"
    assert shown.rstrip("\n") == f"{who}|{who}|1772366400|{base}|Add it\n\nMoonMind-Run: 1"


def test_a_push_brings_the_branch_and_nothing_else(lab: Laboratory) -> None:
    """No tag, no other branch, the base stays where it is."""
    lab.host()
    lab.clone()
    lab.specify()
    lab.agent("git tag v9; git branch stray")
    commit = lab.stage().result["commit"]
    git(lab.private / "clone.git", "tag", "private-tag", commit)
    before = lab.heads()
    assert lab.push(commit).result == {"pushed": True, "commit": commit}
    assert lab.heads() == before | {f"refs/heads/{BRANCH}": commit}


def test_a_push_is_safe_twice(lab: Laboratory) -> None:
    """A branch that stands at the commit counts as pushed."""
    lab.host()
    lab.clone()
    lab.specify()
    commit = lab.stage().result["commit"]
    assert lab.push(commit).result["pushed"] is True
    assert lab.push(commit).result == {"pushed": True, "commit": commit}


def test_a_branch_at_another_commit_is_a_conflict_and_stays(lab: Laboratory) -> None:
    """Ahead, behind or unrelated: it is said where it stands, and it is not overwritten."""
    lab.host(history=3)
    lab.clone()
    lab.specify()
    commit = lab.stage().result["commit"]
    for other in ("main", "main~2"):
        there = git(lab.hosted, "rev-parse", other).decode().strip()
        git(lab.hosted, "update-ref", f"refs/heads/{BRANCH}", there)
        answer = lab.push(commit)
        assert (answer.code, answer.result["pushed"], answer.result["conflict"]) == (0, False, there)
        assert lab.heads()[f"refs/heads/{BRANCH}"] == there


def test_a_base_that_moves_meanwhile_disturbs_nothing(lab: Laboratory) -> None:
    """The run's branch begins where the base was cloned; merging is the pull request's business."""
    lab.host()
    base = lab.clone().result["base_commit"]
    tree = git(lab.hosted, "rev-parse", "main^{tree}").decode().strip()
    moved = git(lab.hosted, "commit-tree", tree, "-p", "main", "-m", "meanwhile").decode().strip()
    git(lab.hosted, "update-ref", "refs/heads/main", moved)
    lab.specify()
    commit = lab.stage().result["commit"]
    assert lab.push(commit).result["pushed"] is True
    assert lab.heads()["refs/heads/main"] == moved
    assert git(lab.hosted, "merge-base", BRANCH, "main").decode().strip() == base


def test_a_refused_push_is_gits_refusal(lab: Laboratory) -> None:
    """Exit code 1, GitHub's words on standard error, no branch."""
    lab.host()
    lab.clone()
    lab.specify()
    commit = lab.stage().result["commit"]
    lab.github.inject("push-refused")
    try:
        answer = lab.push(commit)
    finally:
        lab.github.clear("push-refused")
    assert (answer.code, answer.result) == (1, {})
    assert "protected branch" in answer.stderr
    assert f"refs/heads/{BRANCH}" not in lab.heads()


def test_a_repository_without_commits_cannot_be_cloned(lab: Laboratory) -> None:
    """Exit code 1: there is no base branch."""
    lab.host()
    git(lab.hosted, "update-ref", "-d", "refs/heads/main")
    answer = lab.run("clone")
    assert answer.code == 1
    assert "couldn't find remote ref" in answer.stderr


def test_hooks_that_a_template_brings_are_not_there(lab: Laboratory) -> None:
    """The private clone has no hooks at all, whatever templates the machine has."""
    lab.host()
    lab.clone()
    assert not (lab.private / "clone.git/hooks").exists()
