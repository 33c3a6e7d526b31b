import json
import re
import subprocess
from pathlib import Path

import pytest

from moonmind_appliance.rehearsal.openai import NORMAL, ResponseKind, ScriptedResponse
from moonmind_appliance.rehearsal.openai.model import Message, ModelInput, ToolCall, next_action

TEXT = "# Add a health page\n\nPeople see whether it is up.\n\n- Shows the version\n- Shows the uptime\n"
PLACEHOLDER = re.compile(r"\[[A-Z#$][^\]]*\]")


def _action(skill: str, *outputs: str, scenario: ScriptedResponse = NORMAL) -> ToolCall | Message:
    return next_action(ModelInput(f"speckit-{skill}", TEXT, "2026-11-23", list(outputs), scenario))


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


@pytest.mark.parametrize(
    ("skill", "script", "text"),
    [
        ("plan", "bash/setup-plan.sh", "echo ran $1"),
        ("plan", "python/setup_plan.py", "import sys; print('ran', sys.argv[1])"),
        ("tasks", "bash/check-prerequisites.sh", "echo ran $1"),
        ("tasks", "python/setup_tasks.py", "import sys; print('ran', sys.argv[1])"),
    ],
)
def test_the_scripts_that_the_repository_has_are_run(tmp_path: Path, skill: str, script: str, text: str) -> None:
    """Spec Kit's scripts for bash or for Python, with the names of old and new versions."""
    path = tmp_path / ".specify/scripts" / script
    path.parent.mkdir(parents=True)
    path.write_text(text)
    action = _action(skill)
    assert isinstance(action, ToolCall)
    arguments = re.search(r"exec_command\((\{.*\})\);", action.source)
    assert arguments is not None
    command = json.loads(arguments[1])["cmd"]
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "ran --json" in done.stdout.splitlines()


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
