"""The documents that the stand-in model writes."""

import re
from pathlib import PurePosixPath

from moonmind_appliance.rehearsal.openai import NORMAL, ResponseKind, ScriptedResponse, feature_files
from moonmind_appliance.rehearsal.openai.model import Message, ModelInput, ToolCall, next_action

TEXT = "# Add a health page\n\nPeople see whether it is up.\n\n- Shows the version\n- Shows the uptime\n"


PLACEHOLDER = re.compile(r"\[[A-Z#$][^\]]*\]")


def _action(skill: str, *outputs: str, scenario: ScriptedResponse = NORMAL) -> ToolCall | Message:
    return next_action(ModelInput(f"speckit-{skill}", TEXT, "2026-11-23", list(outputs), scenario))


def test_a_feature_has_all_files_of_the_three_phases() -> None:
    """Those that Spec Kit's skills request."""
    folder = PurePosixPath("specs/007-health-page")
    assert {str(PurePosixPath(path).relative_to(folder)) for path in feature_files(TEXT, number=7)} == {
        "spec.md",
        "checklists/requirements.md",
        "plan.md",
        "research.md",
        "data-model.md",
        "contracts/outcomes.md",
        "quickstart.md",
        "tasks.md",
    }


def test_no_placeholder_is_left() -> None:
    """No placeholder in brackets (except a task's marks) and no comment of the template."""
    for path, content in feature_files(TEXT).items():
        assert set(PLACEHOLDER.findall(content)) <= {"[P]", "[US1]", "[US2]", "[US3]"}, path
        assert "<!--" not in content
        assert content.endswith("\n")


def test_the_same_text_gives_the_same_bytes() -> None:
    """A repository can contain the files in advance."""
    assert feature_files(TEXT) == feature_files(TEXT)


def test_tasks_are_numbered_in_order() -> None:
    """`- [ ] T001 …` from one, without gaps."""
    tasks = feature_files(TEXT)["specs/001-health-page/tasks.md"]
    numbers = [int(found) for found in re.findall(r"^- \[ \] T(\d{3}) \S", tasks, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 5


def test_two_open_questions_with_assumptions_can_be_requested() -> None:
    """Reviewers answer them."""
    action = _action("specify", "/repo\n", "", scenario=ScriptedResponse(ResponseKind.CLARIFICATIONS))
    assert isinstance(action, ToolCall)
    assert action.source.count("[NEEDS CLARIFICATION: ") == 2
    assert action.source.count("Until it is decided") == 2
