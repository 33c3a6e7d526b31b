"""When a phase's file counts as written, and what is read from it."""

import subprocess

import pytest

from moonmind_appliance.models import FailureCode, PhaseName
from moonmind_appliance.phases.acceptance import (
    OUTPUT_FILES,
    TEMPLATES,
    accept,
)
from moonmind_appliance.rehearsal.openai.model import documents
from moonmind_appliance.rehearsal.openai.model.brief import read_text

SPECIFY, PLAN, TASKS = PhaseName.SPECKIT_SPECIFY, PhaseName.SPECKIT_PLAN, PhaseName.SPECKIT_TASKS
BRIEF = read_text("# Dark mode\n\n- Goal: people can switch to dark colours\n- The choice is kept\n")
FILLED = {
    SPECIFY: documents.specification(BRIEF, "001-dark-mode", "2026-03-01", questions=True),
    PLAN: documents.plan(BRIEF, "001-dark-mode", "2026-03-01"),
    TASKS: documents.tasks(BRIEF, "001-dark-mode"),
}
TEMPLATE = (
    "# Plan: [FEATURE]\n\n## Summary\n\n[What is built]\n\n"
    "<!-- [not a placeholder] -->\n\n- [First step]\n- [Second step]\n"
)


def code(phase: PhaseName, text: str | None, template: str | None = TEMPLATE) -> FailureCode | None:
    refusal = accept(phase, f"specs/001-x/{OUTPUT_FILES[phase]}", text, template)
    return None if refusal is None else refusal.code


@pytest.mark.parametrize("phase", [SPECIFY, PLAN, TASKS])
@pytest.mark.parametrize("text", [None, "", " \n\t\n", "\ufeff\u200b\n"])
def test_a_file_that_is_missing_or_blank_is_not_accepted(phase: PhaseName, text: str | None) -> None:
    """Whatever the agent reported."""
    assert code(phase, text) is FailureCode.PHASE_OUTPUT_MISSING


@pytest.mark.parametrize(
    "text",
    [
        TEMPLATE,
        TEMPLATE.replace("\n", "\r\n"),
        TEMPLATE.replace("# Plan: [FEATURE]", "# Plan: Dark mode"),
        f"```\n{TEMPLATE}```\n",
        "\n".join(f"   {line}  " for line in TEMPLATE.splitlines()),
        TEMPLATE + "\n## More\n\nWords of my own.\n",
    ],
)
def test_a_disguised_template_is_not_accepted(text: str) -> None:
    """Other line ends, another heading, indented, in a fence, with text after it: its placeholders remain."""
    assert code(PLAN, text) is FailureCode.TEMPLATE_LEFT


@pytest.mark.parametrize(
    "text",
    [
        "# Plan: Dark mode\n\n## Summary\n\nA switch.\n\n- Draw it\n- Wire it\n",
        # One placeholder of four may remain.
        TEMPLATE.replace("[FEATURE]", "x").replace("[What is built]", "y").replace("[First step]", "z"),
        "Own words in an own order, without any heading.",
        "# Plan\n\nSee [the docs](https://example.invalid/a) and `list[int]`.\n",
    ],
)
def test_a_filled_file_is_accepted(text: str) -> None:
    """Also in another order than the template's, or with an example left in."""
    assert code(PLAN, text) is None


@pytest.mark.parametrize("template", [None, "", "# No placeholder here\n"])
def test_without_placeholders_any_text_is_accepted(template: str | None) -> None:
    """A repository's own template can have any form, or be missing."""
    assert code(PLAN, "# Words\n", template) is None


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        ("- [ ] T001 Draw the switch", True),
        ("* [x] T010 [P] Draw", True),
        ("  - [X] **T100** Draw", True),
        ("- [ ] Draw the switch", False),
        ("- T001 Draw", False),
        ("T001", False),
        ("- [ ] T1 Draw", False),
        ("Run `- [ ] T001` first", False),
        ("-   [ ] T001 Draw", True),
        ("-\t[ ]\tT001 Draw", True),
        ("+ [ ] T001 Draw", True),
        ("1. [ ] T001 Draw", True),
        ("12) [x] T001 Draw", True),
        ("> - [ ] T001 Draw", True),
        ("- Setup\n\n  1. Files\n\n     * [ ] T001 Draw", True),
        ("- [ ]   T001 Draw", True),
        ("- [ ] [T001] Draw", True),
        ("- [ ] [P] T001 Draw", True),
        ("- [ ] [P] [US1] **T001** Draw", True),
        ("- [ ] [T001](#t001) Draw", True),
        ("* [ ] **T001** Draw", True),
        ("- [ ] **[T001]** Draw", True),
        ("- [ ] `T001` Draw", True),
        ("- [ ] __T001:__ Draw", True),
        ("- [x] ~~T001 Draw~~", True),
        ('- [ ] <a id="t001"></a>T001 Draw', True),
        ("- [ ] T001 Draw\r\n- [ ] T002 Wire\r", True),
        ("<details>\n\n- [ ] T001 Draw\n\n</details>", True),
        ("```\n- [ ] T001 Draw\n```", False),
        ("```markdown\n- [ ] T001 Draw\n```", False),
        ("~~~~ md\n- [ ] T001 Draw\n~~~\n~~~~", False),
        ("    - [ ] T001 Draw", False),
        ("<!--\n- [ ] T001 Draw\n-->", False),
        ("<!-- never closed\n\n- [ ] T001 Draw", False),
        ("- [ ]T001 Draw", False),
        ("- [y] T001 Draw", False),
        ("- [ ] See T001", False),
        ("- [ ] T001x Draw", False),
        ("\\- [ ] T001 Draw", False),
    ],
)
def test_tasks_have_ids_in_check_boxes(line: str, accepted: bool) -> None:  # noqa: FBT001 - a table
    """In the form that Spec Kit's later commands expect."""
    assert code(TASKS, f"# Tasks\n\n{line}\n") is (None if accepted else FailureCode.TASKS_WITHOUT_IDS)


def test_a_fence_around_the_whole_file_is_ignored() -> None:
    """Some models wrap a file that they write in one."""
    text = "```markdown\n---\na: b\n---\n# Tasks\n\n```sh\nmake\n```\n\n- [ ] T001 Draw\n```\n\n"
    assert code(TASKS, text) is None


def test_front_matter_has_no_tasks() -> None:
    """It is not part of the text that readers see."""
    assert code(TASKS, "---\ntitle: x\nlist:\n- [ ] T001 Draw\n---\n# Tasks\n") is FailureCode.TASKS_WITHOUT_IDS
    assert code(TASKS, "---\ntitle: x\n---\n# Tasks\n- [ ] T001 Draw\n") is None


@pytest.mark.parametrize("text", ["- a\n" * 10_000, "- - - - a\n" * 9_000], ids=["lines", "elements"])
def test_a_file_that_is_too_large_to_parse_is_not_accepted(text: str) -> None:
    """The message says what its limit is."""
    refusal = accept(TASKS, "specs/001-x/tasks.md", text, None)
    assert refusal is not None
    assert refusal.code is FailureCode.PHASE_OUTPUT_TOO_LARGE
    assert "specs/001-x/tasks.md has" in refusal.message


@pytest.fixture(scope="module")
def spec_kits() -> dict[PhaseName, str]:
    """The templates of the job image."""
    folder = "/opt/spec-kit/scaffold/.specify/templates"
    read = ["docker", "run", "--rm", "--network=none", "moonmind/spec-automation-job:latest", "cat"]
    return {
        phase: subprocess.run([*read, f"{folder}/{name}"], capture_output=True, text=True, check=True).stdout
        for phase, name in TEMPLATES.items()
    }


@pytest.mark.docker
@pytest.mark.image
def test_spec_kits_own_templates_are_distinguished_from_filled_files(spec_kits: dict[PhaseName, str]) -> None:
    """Each template is refused unchanged, with another heading, and half filled; a filled file is not."""
    for phase, template in spec_kits.items():
        assert code(phase, template, template) is FailureCode.TEMPLATE_LEFT
        lines = template.splitlines()
        begun = "\n".join(["# Dark mode", "", "Filled words.", *lines[len(lines) // 2 :]])
        assert code(phase, begun, template) is FailureCode.TEMPLATE_LEFT, phase
        assert code(phase, FILLED[phase], template) is None, phase
