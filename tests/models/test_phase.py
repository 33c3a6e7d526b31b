"""The nine phases, and the transitions of their status."""

from moonmind_appliance.models import (
    PHASE_MOVES,
    PHASE_ORDER,
    PhaseStatus,
    may_move_phase,
)

PHASE_ARROWS = """
pending -> running skipped
running -> succeeded failed skipped retrying
failed -> retrying
retrying -> running skipped
succeeded -> retrying
skipped -> retrying
"""


def arrows(text: str) -> dict[str, set[str]]:
    pairs = (line.split("->") for line in text.strip().splitlines())
    return {source.strip(): set(targets.split()) for source, targets in pairs}


def test_the_transitions_of_a_phase() -> None:
    """Every pair of states, allowed or not."""
    allowed = arrows(PHASE_ARROWS)
    assert set(PHASE_MOVES) == set(PhaseStatus)
    for source in PhaseStatus:
        for target in PhaseStatus:
            assert may_move_phase(source, target) is (target.value in allowed[source.value])


def test_every_phase_status_can_become_succeeded() -> None:
    """From each status there is a path to it."""
    reached = {PhaseStatus.SUCCEEDED}
    while more := {source for source, targets in PHASE_MOVES.items() if targets & reached} - reached:
        reached |= more
    assert reached == set(PhaseStatus)


def test_the_nine_phases_have_their_order() -> None:
    """In the order of the documentation."""
    assert [name.value for name in PHASE_ORDER] == [
        "prepare_job",
        "start_job_container",
        "git_clone",
        "speckit_specify",
        "speckit_plan",
        "speckit_tasks",
        "commit_push",
        "open_pr",
        "cleanup",
    ]
