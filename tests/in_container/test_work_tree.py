"""A hostile work tree becomes one that Git can read without executing anything of it."""

import pytest

from moonmind_appliance.in_container import work_tree
from tests.in_container.git_fixture import SPEC, GitRun
from tests.in_container.sent import CHANGES_USER

ours_alone = pytest.mark.skipif(not CHANGES_USER, reason="permissions do not bind the user of these tests")


TAKEN_FOR_GIT = ["git~1", "GIT~1", ".git ", ".git. .", ".g\u200cit", ".git::$INDEX_ALLOCATION", "x\\.git"]
DEEP = """python3 -c 'import os
for _ in range({levels}):
    os.mkdir("d"); os.chdir("d")
open("f", "w").close()'"""


def test_a_tree_that_is_too_deep_is_refused_in_one_line(git_run: GitRun) -> None:
    """Without a traceback; the next clone starts over."""
    git_run.host()
    git_run.clone()
    git_run.agent(DEEP.format(levels=3000))
    answer = git_run.run("stage", **git_run.stage_job())
    assert (answer.code, answer.result) == (1, {})
    assert "File name too long" in answer.stderr
    assert "Traceback" not in answer.stderr
    git_run.clone()
    assert not (git_run.repository / "d").exists()


def test_a_deep_tree_is_committed(git_run: GitRun) -> None:
    """As deep as Git supports."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    git_run.agent(DEEP.format(levels=1000))
    assert len(git_run.changes(git_run.stage())) == 2


def test_nested_repositories_are_removed_in_every_shape(git_run: GitRun) -> None:
    """Folder, file, link, any case, in folders without access; their other files are committed."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    git_run.agent(
        "git init -q one; echo 1 > one/file;"
        "mkdir two; echo 'gitdir: ../one/.git' > two/.git; echo 2 > two/file;"
        "mkdir three; ln -s ../one/.git three/.git; echo 3 > three/file;"
        "mkdir -p four/.GIT; echo 4 > four/.GIT/config; echo 4 > four/file;"
        "git init -q five; echo 5 > five/file; chmod 0555 five;"
        "git init -q six; echo 6 > six/file; chmod 0 six;"
        "git init -q seven; chmod 0 seven/.git; echo 7 > seven/file;"
        "ln -s /etc/.git eight"
    )
    answer = git_run.stage()
    inside = {"one/.git", "two/.git", "three/.git", "four/.GIT", "five/.git", "six/.git", "seven/.git"}
    assert set(answer.result["nested_repositories_removed"]) == inside
    names = git_run.changes(answer)
    assert set(names) == {
        SPEC,
        *(f"{folder}/file" for folder in ("one", "two", "three", "four", "five", "six", "seven")),
    }
    assert not (git_run.repository / ".git").exists()


def test_a_folder_that_looks_like_a_bare_repository_is_a_folder(git_run: GitRun) -> None:
    """HEAD, objects, refs and a config with programs: files to commit, and none of them is executed."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    mark = git_run.workspace / "ran"
    git_run.agent(
        'git init -q --bare bare; git -C bare config core.fsmonitor "touch $MARK"; git -C bare config core.worktree ..;'
        "echo x > bare/refs/x",
        MARK=str(mark),
    )
    mark.unlink(missing_ok=True)
    names = git_run.changes(git_run.stage())
    assert {"bare/HEAD", "bare/config", "bare/refs/x"} <= set(names)
    assert not mark.exists()


def test_names_that_other_systems_take_for_dot_git_are_left_out(git_run: GitRun) -> None:
    """GitHub rejects them, and Git refuses some: the rest of the change is committed."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    for name in TAKEN_FOR_GIT:
        git_run.agent(
            'mkdir -p "deep/$NAME"; echo x > "deep/$NAME/config"; echo y > deep/file; echo z > "$NAME"', NAME=name
        )
    answer = git_run.stage()
    assert set(git_run.changes(answer)) == {SPEC, "deep/file"}
    removed = set(answer.result["nested_repositories_removed"])
    assert removed == {*TAKEN_FOR_GIT, *(f"deep/{name}" for name in TAKEN_FOR_GIT)}


@pytest.mark.parametrize("name", ["git~2", ".gitx", ".git_", "x.git", ".github", ".gitignore", "digit~1"])
def test_names_that_only_resemble_dot_git_are_committed(name: str) -> None:
    """Like any other name."""
    assert not work_tree.is_git_name(name)


def test_what_is_neither_file_nor_folder_nor_link_is_not_committed(git_run: GitRun) -> None:
    """A pipe in place of a base file, a socket: they cause no error; the file counts as removed."""
    git_run.host({"a.txt": "a\n"})
    git_run.clone()
    git_run.specify()
    git_run.agent(
        "rm a.txt; mkfifo a.txt pipe; python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('sock')\""
    )
    assert git_run.changes(git_run.stage()) == {SPEC: "100644", "a.txt": "000000"}


@ours_alone
def test_unreadable_files_are_committed(git_run: GitRun) -> None:
    """With any mode of the agent's files; the executable bit is kept."""
    git_run.host({"kept/a.txt": "a\n"})
    git_run.clone()
    git_run.specify()
    git_run.agent("echo s > secret; chmod 0 secret; chmod 0 kept; mkdir shut; echo n > shut/new; chmod 0111 shut")
    assert git_run.changes(git_run.stage()) == {SPEC: "100644", "secret": "100644", "shut/new": "100644"}


def test_a_link_named_gitmodules_is_left_out(git_run: GitRun) -> None:
    """Git's index refuses it: the rest is committed."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    git_run.agent("echo x > real; ln -s real .gitmodules; mkdir sub; ln -s ../real sub/.gitmodules")
    answer = git_run.stage()
    assert set(git_run.changes(answer)) == {SPEC, "real"}
    assert {entry["path"] for entry in answer.result["left_out"]} == {".gitmodules", "sub/.gitmodules"}
