"""What the commit has at protected paths, and what is reported to reviewers."""

from pathlib import Path

import pytest

from moonmind_appliance.in_container.feature_folder import DOCUMENTS
from moonmind_appliance.in_container.git_changes import ABSENT
from moonmind_appliance.in_container.git_stage import MOST_LEFT_OUT
from moonmind_appliance.in_container.protected_changes import IN_THE_WAY, PROTECTED
from moonmind_appliance.phases.acceptance import OUTPUT_FILES
from tests.in_container.git_fixture import FEATURE, MAKE_LINKS, SPEC, Answer, GitRun, git

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
    git_run.agent(f"{MAKE_LINKS} {MOST_LEFT_OUT + 50} /etc/{{}}; echo evil >> {WORKFLOW}")
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
