"""Which Spec Kit a run uses, for each kind of repository."""

import json
import re
from pathlib import Path

import pytest

from moonmind_appliance.in_container.spec_kit import choose, template_fits
from moonmind_appliance.in_container.spec_kit_files import WorkTree
from tests.in_container.spec_kit_layouts import (
    PLAN_TEMPLATE,
    SPEC_TEMPLATE,
    TASKS_TEMPLATE,
    chosen,
    init_options,
    of_0_0_60,
    of_0_3,
    of_0_9,
    of_1_1_powershell,
    write,
)

BASH = ".specify/scripts/bash"
SPECIFY = ".agents/skills/speckit-specify/SKILL.md"


def without(files: dict[str, str], *gone: str) -> dict[str, str]:
    return {path: text for path, text in files.items() if not path.startswith(gone)}


OWN = {
    "0.3, whose scripts take the feature from a variable": of_0_3(),
    "0.9, with hooks, manifests and a committed record": of_0_9(),
    "no options, no memory": without(of_0_3(), ".specify/init-options.json", ".specify/memory"),
    "bash scripts beside those for PowerShell": {**of_0_3(), ".specify/scripts/powershell/common.ps1": "x\n"},
    "skills that call no script": {**of_0_3(), SPECIFY: "Write specs/<number>-<name>/spec.md.\n"},
    "a plan template in a preset only": {
        **without(of_0_3(), ".specify/templates/plan-template.md"),
        ".specify/presets/lean/templates/plan-template.md": PLAN_TEMPLATE,
    },
    "an override of a template": {**of_0_3(), ".specify/templates/overrides/spec-template.md": SPEC_TEMPLATE},
    "a function that only a comment names": {
        **of_0_3(),
        f"{BASH}/setup-plan.sh": "# resolve_template came later\nsource common.sh\nget_feature_paths\n",
    },
    "functions that are declared without parentheses": {
        **of_0_3(),
        f"{BASH}/common.sh": re.sub(r"(?m)^(\w+)\(\)", r"function \1", of_0_3()[f"{BASH}/common.sh"]),
    },
    "options that cannot be read": {**of_0_3(), ".specify/init-options.json": "{" * 100_000},
}


@pytest.mark.parametrize("files", OWN.values(), ids=OWN)
def test_a_complete_spec_kit_is_used(tmp_path: Path, files: dict[str, str]) -> None:
    """Whatever its version: its scripts, templates and skills are compatible with each other."""
    assert chosen(write(tmp_path, files)) == ("repository", "complete", "It is complete.")


IMAGE = {
    "nothing": ({}, "none", "It has no Spec Kit."),
    "skills only": (without(of_0_3(), ".specify"), "no_specify", "no folder .specify"),
    "a file .specify": ({".specify": "x\n"}, "not_a_folder", ".specify is not a folder."),
    "0.0.60 for Copilot": (of_0_0_60(), "no_skills", "It has no skills for Codex"),
    "made for Claude, by its options": (
        {**of_0_0_60(), **init_options({"ai": "claude", "speckit_version": "0.0.90"})},
        "no_skills",
        "It is made for claude, and has no skills for Codex",
    ),
    "one skill is missing": (
        without(of_0_3(), ".agents/skills/speckit-tasks"),
        "no_skills",
        "has no .agents/skills/speckit-tasks",
    ),
    "an empty skill": ({**of_0_3(), SPECIFY: "\n"}, "no_skills", "has no .agents/skills/speckit-specify"),
    "PowerShell by its options": (of_1_1_powershell(), "powershell", "PowerShell (.specify/init-options.json)"),
    "PowerShell by its skills": (
        without(of_1_1_powershell(), ".specify/init-options.json"),
        "powershell",
        "calls a PowerShell script (setup-plan.ps1)",
    ),
    "a script is missing": (
        without(of_0_3(), f"{BASH}/setup-plan.sh"),
        "incomplete",
        f"speckit-plan/SKILL.md calls {BASH}/setup-plan.sh, which is missing",
    ),
    "the shared script is missing": (
        without(of_0_3(), f"{BASH}/common.sh"),
        "incomplete",
        f"setup-plan.sh needs {BASH}/common.sh, which is missing",
    ),
    "a template is missing": (
        without(of_0_3(), ".specify/templates/tasks-template.md"),
        "incomplete",
        "It has no .specify/templates/tasks-template.md",
    ),
    "a script of a later version": (
        {**of_0_3(), f"{BASH}/setup-plan.sh": 'source common.sh\nTEMPLATE=$(resolve_template "plan-template")\n'},
        "mixed",
        f"setup-plan.sh calls resolve_template, which {BASH}/common.sh does not define",
    ),
    "skills of a later version": (
        of_0_9(version="1.1.3"),
        "mixed",
        "Its skills are of version 1.1.3 and its scripts of version 0.9.4.",
    ),
    "scripts that know the branch only": (
        {
            **of_0_3(),
            f"{BASH}/common.sh": (
                "get_feature_paths() { git rev-parse --abbrev-ref HEAD; }\n"
                "check_feature_branch() { :; }\nget_current_branch() { :; }\n"
            ),
        },
        "old_scripts",
        "finds a feature neither by .specify/feature.json nor by SPECIFY_FEATURE",
    ),
}


@pytest.mark.parametrize(("files", "kind", "reason"), IMAGE.values(), ids=IMAGE)
def test_an_incomplete_or_mixed_spec_kit_is_not_used(
    tmp_path: Path, files: dict[str, str], kind: str, reason: str
) -> None:
    """The image's is used instead, complete, and the reason names the part that is missing or does not match."""
    used, found, why = chosen(write(tmp_path, files))
    assert (used, found) == ("image", kind)
    assert reason in why


def test_templates_with_the_required_sections_are_used_with_the_images_scripts(tmp_path: Path) -> None:
    """Those with the sections that the image's skills fill; an old one without success criteria is not."""
    choice = choose(WorkTree(write(tmp_path, of_0_0_60())))
    folder = ".specify/templates"
    assert choice["templates"] == {name: f"{folder}/{name}" for name in ("plan-template.md", "tasks-template.md")}
    assert choice["constitution"] is True


def test_a_template_that_does_not_fit_is_named(tmp_path: Path) -> None:
    """An override that the image's skills cannot fill; the template below it is used."""
    override = ".specify/templates/overrides/plan-template.md"
    choice = choose(WorkTree(write(tmp_path, {**of_0_0_60(), override: "# Plan\n"})))
    assert choice["templates"]["plan-template.md"] == ".specify/templates/plan-template.md"
    unused = "is not used: it lacks parts that the appliance's skills fill."
    assert choice["notes"] == [f"Its {path} {unused}" for path in (".specify/templates/spec-template.md", override)]


@pytest.mark.parametrize(
    ("name", "text", "fits"),
    [
        ("spec-template.md", SPEC_TEMPLATE.replace("*(mandatory)*", "(ours)").replace("## R", "##   r"), True),
        ("spec-template.md", SPEC_TEMPLATE.replace("## Requirements", "## Needs"), False),
        ("plan-template.md", "# Plan\n", False),
        ("tasks-template.md", TASKS_TEMPLATE, True),
        ("tasks-template.md", "# Tasks\n\n1. First do this\n", False),
        ("tasks-template.md", "# Tasks\n\n* [ ] **T001** First do this\n", True),
    ],
)
def test_a_template_fits_by_its_sections(name: str, text: str, fits: bool) -> None:  # noqa: FBT001 - a table
    """`tasks-template.md` by the line of a task."""
    assert template_fits(name, text) is fits


@pytest.mark.parametrize(
    ("link", "target"), [(".agents", ".claude"), (".agents/skills", "../.claude/skills"), (".specify", "tools/kit")]
)
def test_links_inside_the_repository_work(tmp_path: Path, link: str, target: str) -> None:
    """Spec Kit's files may be elsewhere in the repository."""
    files = of_0_3()
    elsewhere = (Path(link).parent / target).as_posix().replace(".agents/../", "")
    moved = {
        path.replace(f"{link}/", f"{elsewhere}/", 1) if path.startswith(f"{link}/") else path: text
        for path, text in files.items()
    }
    write(tmp_path, moved)
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(target)
    assert chosen(tmp_path) == ("repository", "complete", "It is complete.")


@pytest.mark.parametrize(
    ("link", "target"),
    [
        (".agents", "/usr/share/agents"),
        (".agents", "../common"),
        (".agents/skills", "../.git/skills"),
        (".agents/skills/speckit-plan", "../../../elsewhere"),
        (".specify", "tools/../../kit"),
        (".specify/memory/constitution.md", "/etc/passwd"),
    ],
)
def test_a_link_out_of_the_repository_is_refused(tmp_path: Path, link: str, target: str) -> None:
    """With its name and its target, before any model time is used."""
    write(tmp_path, without(of_0_3(), link))
    (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / link).symlink_to(target)
    choice = choose(WorkTree(tmp_path))
    assert choice["problem"].startswith(f"{link} is a link to {target}, outside the repository.")


@pytest.mark.parametrize("target", ["missing", ".agents"])
def test_a_broken_link_is_not_used(tmp_path: Path, target: str) -> None:
    """A target that does not exist, and a loop."""
    write(tmp_path, without(of_0_3(), ".agents"))
    (tmp_path / ".agents").symlink_to(target)
    assert chosen(tmp_path)[1] == "no_skills"


def test_another_agents_commands_must_be_installed(tmp_path: Path) -> None:
    """As Spec Kit's own record says; then its manifest names them."""
    commands = {f".gemini/commands/speckit.{phase}.toml": "prompt = 'x'\n" for phase in ("specify", "plan", "tasks")}
    manifest = {"version": "0.9.4", "files": dict.fromkeys(commands, "0" * 64)}
    files = {
        **of_0_9(),
        **commands,
        ".specify/integration.json": json.dumps({"installed_integrations": ["codex", "gemini"]}),
        ".specify/integrations/gemini.manifest.json": json.dumps(manifest),
    }
    write(tmp_path, files)
    assert chosen(tmp_path, "gemini")[0] == "repository"
    assert chosen(tmp_path, "copilot")[1:] == ("no_skills", "Its integration for copilot is not installed.")
    (tmp_path / ".gemini/commands/speckit.plan.toml").unlink()
    assert chosen(tmp_path, "gemini")[1:] == ("no_skills", "It lacks commands of its integration for gemini.")


def test_hooks_and_a_committed_record_are_reported(tmp_path: Path) -> None:
    """They have no effect on the run."""
    notes = choose(WorkTree(write(tmp_path, of_0_9())))["notes"]
    assert [note.split(" ")[1] for note in notes] == ["hooks", ".specify/feature.json"]
