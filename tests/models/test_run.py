"""The transitions of a run."""

from datetime import UTC, datetime

from moonmind_appliance.models import (
    FINAL_RUN_STATUSES,
    RUN_MOVES,
    Actor,
    Phase,
    PhaseName,
    Run,
    RunStatus,
    may_move_run,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

# The design's transitions.
RUN_ARROWS = """
queued -> in_progress cancelled
in_progress -> succeeded no_changes failed cancelled queued
failed -> queued
cancelled -> queued
succeeded ->
no_changes ->
"""


def arrows(text: str) -> dict[str, set[str]]:
    pairs = (line.split("->") for line in text.strip().splitlines())
    return {source.strip(): set(targets.split()) for source, targets in pairs}


def test_the_transitions_of_a_run() -> None:
    """Every pair of states, allowed or not."""
    allowed = arrows(RUN_ARROWS)
    assert set(RUN_MOVES) == set(RunStatus)
    for source in RunStatus:
        for target in RunStatus:
            assert may_move_run(source, target) is (target.value in allowed[source.value])


def test_only_a_retry_changes_a_final_run() -> None:
    """Every other status can become final."""
    for status in RunStatus:
        targets = RUN_MOVES[status]
        if status in FINAL_RUN_STATUSES:
            assert targets <= {RunStatus.QUEUED}
        else:
            assert targets & FINAL_RUN_STATUSES


def test_a_phase_without_a_row_is_pending() -> None:
    """A run that never began has all nine."""
    run = Run(run_id="r", repository="a/b", specify_text="x", accepted_at=NOW, created_by=Actor("s", "u"))
    assert run.phase(PhaseName.OPEN_PR) == Phase(phase=PhaseName.OPEN_PR)
