"""The run's Spec Kit in the work tree, and what the commit contains; with the real Git."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.in_container.git_fixture import FEATURE, SPEC, GitRun, git
from tests.in_container.spec_kit_layouts import (
    PLAN_TEMPLATE,
    of_0_0_60,
    of_0_3,
    of_0_9,
    of_1_1_powershell,
)

IMAGE_SCRIPT = "#!/bin/sh\n"
COMMON = ".specify/scripts/bash/common.sh"
PLAN_SKILL = ".agents/skills/speckit-plan/SKILL.md"
CONSTITUTION = ".specify/memory/constitution.md"


def cloned(git_run: GitRun, files: Mapping[str, str], links: Mapping[str, str] | None = None) -> GitRun:
    """A clone of a repository with these files and links."""

    def make(source: Path) -> None:
        for link, target in (links or {}).items():
            (source / link).parent.mkdir(parents=True, exist_ok=True)
            (source / link).symlink_to(target)
        git(source, "add", "--all", "--force")

    git_run.host({"README.md": "# Shop\n", **files}, make)
    git_run.clone()
    git_run.specify()
    return git_run


def text(git_run: GitRun, path: str) -> str:
    return (git_run.repository / path).read_text()


def committed(git_run: GitRun, **fields: object) -> set[str]:
    return set(git_run.changes(git_run.stage(**fields)))


@pytest.mark.parametrize("files", [of_0_3(), of_0_9()], ids=["0.3", "0.9"])
def test_a_complete_spec_kit_is_not_touched(git_run: GitRun, files: dict[str, str]) -> None:
    """Nothing is added to it, and what the agent changes in it is in the commit, for reviewers to see."""
    cloned(git_run, files)
    assert {path: text(git_run, path) for path in files} == files
    assert not (git_run.repository / ".specify/workflows").exists()
    git_run.agent("echo more >> .specify/templates/plan-template.md")
    assert committed(git_run) == {SPEC, ".specify/templates/plan-template.md"}


OTHERS = {
    "0.0.60 for Copilot": of_0_0_60(),
    "PowerShell": of_1_1_powershell(),
    "only templates": {".specify/templates/x.md": "x\n"},
}


@pytest.mark.parametrize("files", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("commit_scaffold", [False, True])
def test_the_images_spec_kit_is_in_the_work_tree_only_during_the_run(
    git_run: GitRun,
    files: dict[str, str],
    commit_scaffold: bool,  # noqa: FBT001 - a table
) -> None:
    """Complete, and without the repository's files. The commit has the repository's, whatever the agent did."""
    cloned(git_run, files)
    assert text(git_run, COMMON) == IMAGE_SCRIPT
    assert text(git_run, PLAN_SKILL).startswith("---\nname: speckit-plan\n")
    for path in (".specify/templates/x.md", ".specify/scripts/powershell", ".specify/scripts/bash/setup-plan.sh"):
        assert not (git_run.repository / path).exists()
    git_run.agent(f"echo more >> {COMMON}; echo x > .specify/new; echo {{}} > .specify/feature.json; rm {PLAN_SKILL}")
    git_run.agent("mkdir -p .specify/presets .agents/skills/speckit-plan; echo x > .specify/presets/x")
    assert committed(git_run, commit_scaffold=commit_scaffold) == {SPEC}


def test_the_constitution_stays_and_a_change_to_it_is_committed(git_run: GitRun) -> None:
    """It is the repository's own, whichever Spec Kit is used."""
    cloned(git_run, of_0_0_60())
    assert text(git_run, CONSTITUTION) == of_0_0_60()[CONSTITUTION]
    git_run.agent(f"echo more >> {CONSTITUTION}")
    assert committed(git_run) == {SPEC, CONSTITUTION}


def test_the_images_constitution_is_never_committed(git_run: GitRun) -> None:
    """A repository with templates but without a constitution gets the image's for the run."""
    cloned(git_run, {".specify/templates/plan-template.md": PLAN_TEMPLATE})
    assert text(git_run, CONSTITUTION) == "# Constitution\n"
    assert committed(git_run) == {SPEC}


def test_templates_with_the_required_sections_replace_the_images(git_run: GitRun) -> None:
    """The plan template has them, also in a preset; the specification's does not."""
    files = {**of_0_0_60(), ".specify/presets/lean/templates/plan-template.md": f"{PLAN_TEMPLATE}\n## Ours\n"}
    cloned(git_run, files)
    assert text(git_run, ".specify/templates/plan-template.md").endswith("## Ours\n")
    assert text(git_run, ".specify/templates/spec-template.md") == "# [FEATURE NAME]\n"
    assert committed(git_run) == {SPEC}


def test_hooks_presets_and_extensions_of_another_version_are_removed_for_the_run(git_run: GitRun) -> None:
    """They name scripts and skills that are not there."""
    cloned(git_run, {**of_0_9(version="1.1.3"), ".specify/extensions/git/extension.yml": "x\n"})
    names = {entry.name for entry in (git_run.repository / ".specify").iterdir()}
    assert names == {"memory", "scripts", "templates"}
    assert committed(git_run) == {SPEC}


@pytest.mark.parametrize("files", [{}, of_0_0_60(), of_0_3()], ids=["none", "0.0.60 for Copilot", "0.3"])
@pytest.mark.parametrize("old", [{}, {".specify/specs/001-old/spec.md": "# Old\n"}], ids=["first", "second"])
def test_features_inside_specify_stay_and_are_committed(
    git_run: GitRun, files: dict[str, str], old: dict[str, str]
) -> None:
    """Some repositories keep their features there, whichever Spec Kit is used."""
    cloned(git_run, {**files, **old})
    assert all(text(git_run, path) == content for path, content in old.items())
    new = ".specify/specs/002-new/spec.md"
    git_run.agent(f"mkdir -p $(dirname {new}); echo new > {new}; echo x > .specify/other")
    own = {".specify/other"} if files == of_0_3() else set()
    assert committed(git_run, feature_directory=".specify/specs/002-new") == {SPEC, new, *own}


def test_other_skills_of_the_repository_stay(git_run: GitRun) -> None:
    """Only those of Spec Kit are replaced."""
    mine = ".agents/skills/deploy/SKILL.md"
    cloned(git_run, {**of_0_0_60(), mine: "mine\n", ".agents/skills/speckit-clarify/SKILL.md": "old\n"})
    assert text(git_run, mine) == "mine\n"
    assert not (git_run.repository / ".agents/skills/speckit-clarify").exists()
    assert committed(git_run) == {SPEC}


def test_the_scaffold_of_a_repository_with_other_skills_can_be_committed(git_run: GitRun) -> None:
    """It had no Spec Kit: COMMIT_SCAFFOLD adds the image's beside its skills."""
    cloned(git_run, {".agents/skills/deploy/SKILL.md": "mine\n"})
    assert committed(git_run) == {SPEC}
    assert {SPEC, COMMON, PLAN_SKILL} <= committed(git_run, commit_scaffold=True)


@pytest.mark.parametrize("path", [".agents", ".specify", ".specify/templates", ".specify/memory", PLAN_SKILL])
def test_a_file_in_the_way_is_restored(git_run: GitRun, path: str) -> None:
    """The image's folder is at its path during the run."""
    cloned(git_run, {path: "mine\n"})
    assert text(git_run, COMMON) == IMAGE_SCRIPT
    assert text(git_run, PLAN_SKILL).startswith("---\n")
    answer = git_run.stage()
    assert set(git_run.changes(answer)) == {SPEC}
    assert git_run.blob(answer.result["commit"], path) == b"mine\n"


@pytest.mark.parametrize(
    ("link", "target"),
    [(".agents", "docs"), (".agents/skills", "../docs"), (".specify", "docs"), (".specify/templates", "../docs")],
)
def test_a_link_in_the_way_is_restored_and_nothing_is_written_through_it(
    git_run: GitRun, link: str, target: str
) -> None:
    """The image's folder replaces it during the run."""
    cloned(git_run, {"docs/a.md": "a\n"}, {link: target})
    assert text(git_run, COMMON) == IMAGE_SCRIPT
    assert [entry.name for entry in (git_run.repository / "docs").iterdir()] == ["a.md"]
    answer = git_run.stage()
    assert git_run.changes(answer) == {SPEC: "100644"}
    assert git_run.blob(answer.result["commit"], link) == target.encode()


def test_a_linked_constitution_is_used(git_run: GitRun) -> None:
    """`.specify` is a link to an incomplete Spec Kit: the run has the image's, with that constitution."""
    cloned(git_run, {"tools/kit/memory/constitution.md": "# Ours\n"}, {".specify": "tools/kit"})
    assert text(git_run, CONSTITUTION) == "# Ours\n"
    assert text(git_run, "tools/kit/memory/constitution.md") == "# Ours\n"
    assert committed(git_run) == {SPEC}


def test_a_linked_record_is_not_committed(git_run: GitRun) -> None:
    """`.specify` is a link to a complete Spec Kit, which the run uses."""
    files = {path.replace(".specify/", "tools/kit/", 1): text for path, text in of_0_3().items()}
    cloned(git_run, files, {".specify": "tools/kit"})
    git_run.agent("echo '{}' > .specify/feature.json")
    assert (git_run.repository / "tools/kit/feature.json").is_file()
    assert committed(git_run) == {SPEC}


@pytest.mark.parametrize(
    ("link", "target"), [(".specify", "../.."), (".agents", "/usr"), (".specify/templates", "../../x")]
)
def test_a_link_out_of_the_repository_is_reported(git_run: GitRun, link: str, target: str) -> None:
    """Nothing is written, and the clone says why no run is possible."""

    def make(source: Path) -> None:
        (source / link).parent.mkdir(parents=True, exist_ok=True)
        (source / link).symlink_to(target)
        git(source, "add", "--all")

    git_run.host(make=make)
    answer = git_run.clone()
    assert answer.result["spec_kit"]["problem"].startswith(f"{link} is a link to {target}, outside the repository.")
    assert answer.result["scaffold_files"] == 0
    assert (git_run.repository / link).readlink() == Path(target)


def test_a_repositorys_old_script_works_on_the_runs_branch(git_run: GitRun) -> None:
    """0.3's setup-plan.sh refuses the branch's name, but reads the feature from the variable that a turn sets."""
    cloned(git_run, of_0_3())
    git_run.agent("bash .specify/scripts/bash/setup-plan.sh --json", SPECIFY_FEATURE="001-dark-mode")
    assert text(git_run, f"{FEATURE}/plan.md") == PLAN_TEMPLATE


@pytest.mark.parametrize(
    "files",
    [{**of_0_3(), ".specify/.gitignore": "feature.json\n"}, {**of_0_0_60(), ".gitignore": ".specify/\n.agents/\n"}],
    ids=["its own", "the image's"],
)
def test_spec_kits_files_are_not_reported_as_left_out(git_run: GitRun, files: dict[str, str]) -> None:
    """Although `.gitignore` excludes them: reviewers need no report of them."""
    cloned(git_run, files)
    git_run.agent("echo '{}' > .specify/feature.json")
    answer = git_run.stage()
    assert set(git_run.changes(answer)) == {SPEC}
    assert answer.result["left_out"] == []
