import re
from pathlib import PurePosixPath

import pytest

from moonmind_appliance.rehearsal.openai import NORMAL, Play, Scenario, feature_files
from moonmind_appliance.rehearsal.openai.model import Say, Script, Situation, next_act

TEXT = "# Add a health page\n\nPeople see whether it is up.\n\n- Shows the version\n- Shows the uptime\n"
PLACEHOLDER = re.compile(r"\[[A-Z#$][^\]]*\]")


def _act(skill: str, *outputs: str, scenario: Scenario = NORMAL) -> Script | Say:
    return next_act(Situation(f"speckit-{skill}", TEXT, "2026-11-23", list(outputs), scenario))


def test_a_feature_has_all_files_of_the_three_phases() -> None:
    """What Spec Kit's skills ask for."""
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


def test_nothing_of_a_template_is_left() -> None:
    """No placeholder in brackets (a task's marks are none) and no comment of the template."""
    for path, content in feature_files(TEXT).items():
        assert set(PLACEHOLDER.findall(content)) <= {"[P]", "[US1]", "[US2]", "[US3]"}, path
        assert "<!--" not in content
        assert content.endswith("\n")


def test_the_same_text_gives_the_same_bytes() -> None:
    """So a repository can hold the files already."""
    assert feature_files(TEXT) == feature_files(TEXT)


def test_tasks_are_numbered_in_order() -> None:
    """`- [ ] T001 …` from one on, without a gap."""
    tasks = feature_files(TEXT)["specs/001-health-page/tasks.md"]
    numbers = [int(found) for found in re.findall(r"^- \[ \] T(\d{3}) \S", tasks, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 5


def test_the_next_free_number_is_taken() -> None:
    """After the folders that the model saw."""
    act = _act("specify", "/repo\nspecs/001-one/\nspecs/041-other/\n")
    assert isinstance(act, Script)
    assert "specs/042-health-page" in act.source


def test_on_a_day_without_changes_the_existing_feature_is_kept() -> None:
    """Its own by name, else the newest; only the pointer to it is written."""
    no_changes = Scenario(Play.NO_CHANGES)
    act = _act("specify", "/repo\nspecs/001-health-page/\nspecs/002-other/\n", scenario=no_changes)
    assert isinstance(act, Script)
    assert "specs/001-health-page" in act.source
    assert "spec.md" not in act.source
    act = _act("specify", "/repo\nspecs/001-one/\nspecs/002-other/\n", scenario=no_changes)
    assert isinstance(act, Script)
    assert "specs/002-other" in act.source
    assert isinstance(_act("specify", "/repo\nspecs/002-other/\n", "", scenario=no_changes), Say)


def test_two_questions_and_their_assumptions_are_left_on_request() -> None:
    """For reviewers to answer."""
    act = _act("specify", "/repo\n", "", scenario=Scenario(Play.CLARIFICATIONS))
    assert isinstance(act, Script)
    assert act.source.count("[NEEDS CLARIFICATION: ") == 2
    assert act.source.count("Until it is decided") == 2


def test_a_template_can_be_left() -> None:
    """It is copied, and the model says that it is done."""
    left = Scenario(Play.TEMPLATE_LEFT)
    assert isinstance(_act("specify", "/repo\n", scenario=left), Script)
    assert isinstance(_act("specify", "/repo\n", "", scenario=left), Say)


@pytest.mark.parametrize("skill", ["plan", "tasks"])
def test_a_setup_script_that_names_no_folder_ends_the_turn(skill: str) -> None:
    """With its words, as a careful agent would."""
    act = _act(skill, "/repo\nERROR: Feature directory not found.")
    assert isinstance(act, Say)
    assert "Feature directory not found" in act.text


def test_a_failed_command_ends_the_turn() -> None:
    """The model does not write on as if nothing had happened."""
    act = _act("specify", "mkdir: Permission denied\nexit code: 1")
    assert isinstance(act, Say)
    assert "Permission denied" in act.text


def test_a_feature_folder_outside_specs_is_followed() -> None:
    """The setup script says where it lies."""
    act = _act(
        "tasks", '/repo\n{"FEATURE_DIR":"/repo/docs/features/x","AVAILABLE_DOCS":[]}\n# Feature Specification: X\n'
    )
    assert isinstance(act, Script)
    assert "*** Add File: docs/features/x/tasks.md" in act.source
