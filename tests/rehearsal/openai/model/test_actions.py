import re
from pathlib import PurePosixPath

import pytest

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


def test_the_next_free_number_is_used() -> None:
    """After the existing folders."""
    action = _action("specify", "/repo\nspecs/001-one/\nspecs/041-other/\n")
    assert isinstance(action, ToolCall)
    assert "specs/042-health-page" in action.source


def test_without_changes_the_existing_feature_is_used() -> None:
    """The one of the same name, else the newest; only the pointer to it is written."""
    no_changes = ScriptedResponse(ResponseKind.NO_CHANGES)
    action = _action("specify", "/repo\nspecs/001-health-page/\nspecs/002-other/\n", scenario=no_changes)
    assert isinstance(action, ToolCall)
    assert "specs/001-health-page" in action.source
    assert "spec.md" not in action.source
    action = _action("specify", "/repo\nspecs/001-one/\nspecs/002-other/\n", scenario=no_changes)
    assert isinstance(action, ToolCall)
    assert "specs/002-other" in action.source
    assert isinstance(_action("specify", "/repo\nspecs/002-other/\n", "", scenario=no_changes), Message)


def test_two_open_questions_with_assumptions_can_be_requested() -> None:
    """Reviewers answer them."""
    action = _action("specify", "/repo\n", "", scenario=ScriptedResponse(ResponseKind.CLARIFICATIONS))
    assert isinstance(action, ToolCall)
    assert action.source.count("[NEEDS CLARIFICATION: ") == 2
    assert action.source.count("Until it is decided") == 2


def test_a_template_can_be_left_unfilled() -> None:
    """It is copied, and the model reports success."""
    left = ScriptedResponse(ResponseKind.TEMPLATE_LEFT)
    assert isinstance(_action("specify", "/repo\n", scenario=left), ToolCall)
    assert isinstance(_action("specify", "/repo\n", "", scenario=left), Message)


@pytest.mark.parametrize("skill", ["plan", "tasks"])
def test_a_setup_script_without_a_folder_ends_the_turn(skill: str) -> None:
    """The message contains the script's output."""
    action = _action(skill, "/repo\nERROR: Feature directory not found.")
    assert isinstance(action, Message)
    assert "Feature directory not found" in action.text


def test_a_failed_command_ends_the_turn() -> None:
    """The model does not continue."""
    action = _action("specify", "mkdir: Permission denied\nexit code: 1")
    assert isinstance(action, Message)
    assert "Permission denied" in action.text


def test_a_feature_folder_outside_specs_is_followed() -> None:
    """The setup script reports its path."""
    action = _action(
        "tasks", '/repo\n{"FEATURE_DIR":"/repo/docs/features/x","AVAILABLE_DOCS":[]}\n# Feature Specification: X\n'
    )
    assert isinstance(action, ToolCall)
    assert "*** Add File: docs/features/x/tasks.md" in action.source
