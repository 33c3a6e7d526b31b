"""Which logs a run has, and which one is shown first."""

from pathlib import Path

import pytest

from moonmind_appliance.models import PhaseName, PhaseStatus
from moonmind_appliance.views.run_detail import PhaseDetail
from tui.run_logs import LogFile, log_of_phase, log_to_show, neighbour

CLONE, PLAN = PhaseName.GIT_CLONE, PhaseName.SPECKIT_PLAN


def log(phase, stream, size, attempt=1):
    name = f"{phase.value}.{attempt}.{stream}"
    return LogFile(
        phase, attempt, stream, Path(f"{name}.{'jsonl' if phase is PLAN and stream == 'stdout' else 'log'}"), size
    )


def phase(name, status):
    return PhaseDetail(name, status, 1, None, None, None, None, {})


CLONE_OUT, CLONE_ERR = log(CLONE, "stdout", 5), log(CLONE, "stderr", 0)
PLAN_OUT, PLAN_ERR = log(PLAN, "stdout", 7), log(PLAN, "stderr", 3)
LOGS = [CLONE_OUT, CLONE_ERR, PLAN_OUT, PLAN_ERR]


def test_titles():
    """The first attempt is not counted; only Codex's output has events."""
    assert PLAN_OUT.title == "speckit_plan stdout"
    assert log(CLONE, "stderr", 1, attempt=2).title == "git_clone stderr attempt 2"
    assert [each.has_events for each in LOGS] == [False, False, True, False]


@pytest.mark.parametrize(
    ("phase_name", "failed", "expected"),
    [
        (PLAN, False, PLAN_OUT),
        (PLAN, True, PLAN_ERR),
        (CLONE, True, CLONE_OUT),
        (PhaseName.COMMIT_PUSH, True, None),
    ],
)
def test_a_failed_phase_shows_its_errors_if_there_are_any(phase_name, expected, *, failed):
    """Else its output."""
    assert log_of_phase(LOGS, phase_name, failed=failed) == expected


def test_the_last_attempt_is_shown():
    """Even if it has no output yet."""
    second = log(PLAN, "stdout", 0, attempt=2)
    assert log_of_phase([*LOGS, second], PLAN, failed=False) == second


@pytest.mark.parametrize(
    ("phases", "shown", "expected"),
    [
        ([phase(CLONE, PhaseStatus.FAILED), phase(PLAN, PhaseStatus.RUNNING)], CLONE_OUT, PLAN_OUT),
        ([phase(PLAN, PhaseStatus.FAILED)], CLONE_OUT, PLAN_ERR),
        ([phase(PLAN, PhaseStatus.SUCCEEDED)], CLONE_OUT, CLONE_OUT),
        ([phase(PLAN, PhaseStatus.SUCCEEDED)], None, PLAN_OUT),
    ],
)
def test_the_running_phase_comes_before_the_failed_one(phases, shown, expected):
    """Else nothing changes; at first the agent's output is shown."""
    assert log_to_show(LOGS, phases, shown) == expected


def test_without_logs_there_is_none_to_show():
    """A run that has not begun has none."""
    assert log_to_show([], [phase(PLAN, PhaseStatus.RUNNING)]) is None
    assert neighbour([], None, 1) is None


def test_neighbours_are_the_logs_with_output():
    """Round and round; the shown one counts even without output."""
    assert neighbour(LOGS, CLONE_OUT, 1) == PLAN_OUT
    assert neighbour(LOGS, CLONE_OUT, -1) == PLAN_ERR
    assert neighbour(LOGS, CLONE_ERR, 1) == PLAN_OUT
    assert (neighbour(LOGS, None, 1), neighbour(LOGS, None, -1)) == (CLONE_OUT, PLAN_ERR)
