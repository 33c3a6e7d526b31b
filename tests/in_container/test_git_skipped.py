"""Files that Git skips are reported, and so are files for which `.gitattributes` asks for a filter."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.in_container.git_skipped import ADDED_ANYWAY, AS_IT_IS, IGNORED, IN_SUBMODULE
from moonmind_appliance.in_container.git_stage import MOST_LEFT_OUT
from tests.in_container.git_fixture import FEATURE, SPEC, Answer, GitRun, git

LFS = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"


def left_out(answer: Answer) -> dict[str, str]:
    return {entry["path"]: entry["reason"] for entry in answer.result["left_out"]}


def warnings(answer: Answer) -> dict[str, str]:
    return {entry["path"]: entry["reason"] for entry in answer.result["warnings"]}


def staged(git_run: GitRun, script: str, files: dict[str, str | bytes], make: Any = None) -> Answer:
    git_run.host(files, make)
    git_run.clone()
    git_run.specify()
    git_run.agent(script)
    return git_run.stage()


def test_an_ignored_folder_is_one_entry(git_run: GitRun) -> None:
    """However many files it has; a single ignored file is its own entry."""
    answer = staged(
        git_run,
        "mkdir -p node_modules/a/b src; touch node_modules/{1,2,3} node_modules/a/b/4; touch src/x.log src/y.py",
        {".gitignore": "node_modules/\n*.log\n"},
    )
    assert left_out(answer) == {"node_modules/": IGNORED, "src/x.log": IGNORED}
    assert answer.result["left_out_count"] == 2
    assert set(git_run.changes(answer)) == {SPEC, "src/y.py"}


def test_rules_of_every_gitignore_count_also_the_agents(git_run: GitRun) -> None:
    """In a subfolder, and in a file that the agent wrote; a negated rule does not."""
    answer = staged(
        git_run,
        "mkdir -p deep/sub; echo secret.txt > deep/.gitignore; touch deep/secret.txt deep/sub/secret.txt deep/kept.txt;"
        "mkdir out; touch out/a out/keep",
        {".gitignore": "out/*\n!out/keep\n"},
    )
    assert left_out(answer) == {"deep/secret.txt": IGNORED, "deep/sub/": IGNORED, "out/a": IGNORED}
    assert set(git_run.changes(answer)) == {SPEC, "deep/.gitignore", "deep/kept.txt", "out/keep"}


def test_an_ignored_file_that_is_tracked_is_committed(git_run: GitRun) -> None:
    """Git ignores untracked files only."""
    answer = staged(git_run, "echo 2 > build.log", {".gitignore": "*.log\n", "build.log": "1\n"})
    assert set(git_run.changes(answer)) == {SPEC, "build.log"}
    assert left_out(answer) == {}


def test_the_agents_own_excludes_are_not_used(git_run: GitRun) -> None:
    """Neither its .git/info/exclude nor its configuration hides a file from the commit."""
    answer = staged(
        git_run,
        "mkdir -p .git/info; echo hidden.txt > .git/info/exclude; echo other.txt > /tmp/$$.ignore;"
        "git config core.excludesFile /tmp/$$.ignore; touch hidden.txt other.txt; rm /tmp/$$.ignore",
        {"README.md": "x"},
    )
    assert set(git_run.changes(answer)) == {SPEC, "hidden.txt", "other.txt"}
    assert left_out(answer) == {}


@pytest.mark.parametrize("bit", ["--assume-unchanged", "--skip-worktree"])
def test_files_that_the_agent_hides_from_git_are_committed(git_run: GitRun, bit: str) -> None:
    """The flags are in the agent's index, which is not used."""
    answer = staged(git_run, f"git update-index {bit} README.md; echo new > README.md", {"README.md": "old\n"})
    assert set(git_run.changes(answer)) == {SPEC, "README.md"}


def submodule(folder: Path) -> None:
    (folder / ".gitmodules").write_text('[submodule "lib"]\n\tpath = lib\n\turl = https://example.invalid/lib\n')
    git(folder, "add", ".gitmodules")
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("mkdir -p lib/src; touch lib/src/a lib/b", True),
        ("cd lib; git init -q; touch a", True),
        ("true", False),
        ("touch library", False),
    ],
)
def test_files_below_a_submodule_are_left_out(git_run: GitRun, script: str, told: bool) -> None:  # noqa: FBT001 - a table
    """As one entry; an empty folder and a similar name are not."""
    answer = staged(git_run, script, {"README.md": "x"}, submodule)
    assert left_out(answer) == ({"lib/": IN_SUBMODULE} if told else {})
    assert "lib" not in git_run.changes(answer)


def test_the_scaffold_is_no_skipped_file(git_run: GitRun) -> None:
    """The appliance added it, also where the repository ignores it; the agent's file beside it is reported."""
    files: dict[str, str | bytes] = {".gitignore": ".agents/\n.specify/\n", ".agents/skills/own/SKILL.md": "x"}
    answer = staged(git_run, "true", files)
    assert left_out(answer) == {}
    git_run.agent("touch .agents/skills/speckit-plan/notes.md")
    assert set(left_out(git_run.stage())) >= {".agents/skills/speckit-plan/"}


@pytest.mark.parametrize(("ignore", "warned"), [("/specs\n", True), ("plan.md\n", True), ("*.log\n", False)])
def test_a_feature_that_the_repository_ignores_is_committed_with_a_warning(
    git_run: GitRun,
    ignore: str,
    warned: bool,  # noqa: FBT001 - a table
) -> None:
    """Some repositories ignore their specifications on purpose."""
    answer = staged(git_run, 'echo plan > "$FEATURE/plan.md"', {".gitignore": ignore})
    assert set(git_run.changes(answer)) == {SPEC, f"{FEATURE}/plan.md"}
    assert warnings(answer) == ({f"{FEATURE}/": ADDED_ANYWAY} if warned else {})


def test_many_ignored_files_are_counted(git_run: GitRun) -> None:
    """The report is short."""
    answer = staged(
        git_run,
        "python3 -c 'import os\nfor n in range(5000): os.close(os.open(f\"{n}.log\", os.O_CREAT))'",
        {".gitignore": "*.log\n"},
    )
    assert len(answer.result["left_out"]) == MOST_LEFT_OUT
    assert answer.result["left_out_count"] == 5000


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (LFS, f"Git LFS (.gitattributes) {AS_IT_IS}"),
        ("*.bin filter=git-crypt\n", f"the filter git-crypt (.gitattributes) {AS_IT_IS}"),
        ("*.bin filter=[x](//evil)\n", f"a filter (.gitattributes) {AS_IT_IS}"),
        ("*.bin filter\n", f"the filter set (.gitattributes) {AS_IT_IS}"),
    ],
)
def test_a_file_without_its_filter_is_committed_with_a_warning(git_run: GitRun, attributes: str, reason: str) -> None:
    """The name of a filter is shown only if it is plain."""
    answer = staged(git_run, "echo raw > a.bin; echo x > b.txt", {".gitattributes": attributes})
    assert warnings(answer) == {"a.bin": reason}
    assert answer.result["warning_count"] == 1
    assert git_run.blob(answer.result["commit"], "a.bin") == b"raw\n"


def test_what_needs_no_filter_has_no_warning(git_run: GitRun) -> None:
    """A pointer of Git LFS, a deleted file, a link, an unset attribute, and a file that was not changed."""
    files: dict[str, str | bytes] = {
        ".gitattributes": LFS + "plain.bin -filter\n",
        "old.bin": "raw",
        "gone.bin": "raw",
    }
    answer = staged(
        git_run,
        f"printf '%s' '{POINTER}' > pointer.bin; rm gone.bin; ln -s old.bin link.bin; echo x > plain.bin",
        files,
    )
    assert {"pointer.bin", "gone.bin", "link.bin", "plain.bin"} < set(git_run.changes(answer))
    assert warnings(answer) == {}


@pytest.mark.parametrize("content", [POINTER.replace("version", "Version"), POINTER + "x" * 2000, "\n" + POINTER])
def test_what_only_resembles_a_pointer_has_a_warning(git_run: GitRun, content: str) -> None:
    """A pointer begins with its version and is short."""
    answer = staged(git_run, "true", {".gitattributes": LFS})
    (git_run.repository / "a.bin").write_text(content)
    answer = git_run.stage()
    assert set(warnings(answer)) == {"a.bin"}


def test_attributes_that_the_agent_wrote_count(git_run: GitRun) -> None:
    """Where they are part of the commit, they apply to its files; left out as a protected path, they do not."""
    answer = staged(git_run, f"echo '{LFS.strip()}' > .gitattributes; echo raw > a.bin", {"README.md": "x"})
    assert set(warnings(answer)) == set()
    assert set(warnings(git_run.stage(protected=[]))) == {"a.bin"}


def test_nothing_is_left_behind(git_run: GitRun) -> None:
    """The list of skipped files is removed."""
    staged(git_run, "touch a.log", {".gitignore": "*.log\n"})
    found = subprocess.run(["ls", git_run.private], capture_output=True, text=True, check=True).stdout.split()
    assert "skipped.list" not in found
