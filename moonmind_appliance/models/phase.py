"""The nine phases of a run, and the allowed transitions of their status."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from moonmind_appliance.models.phase_output import (
    AgentTurn,
    CommittedChange,
    OpenedPullRequest,
    PhaseOutput,
    PreparedJob,
    SpecifyTurn,
    SpecKitChoice,
    StartedContainers,
)


class PhaseName(StrEnum):
    """The nine phases of a run, in order."""

    PREPARE_JOB = "prepare_job"
    START_JOB_CONTAINER = "start_job_container"
    GIT_CLONE = "git_clone"
    SPECKIT_SPECIFY = "speckit_specify"
    SPECKIT_PLAN = "speckit_plan"
    SPECKIT_TASKS = "speckit_tasks"
    COMMIT_PUSH = "commit_push"
    OPEN_PR = "open_pr"
    CLEANUP = "cleanup"


PHASE_ORDER: tuple[PhaseName, ...] = tuple(PhaseName)


PHASE_OUTPUTS: dict[PhaseName, type[PhaseOutput]] = {
    PhaseName.PREPARE_JOB: PreparedJob,
    PhaseName.START_JOB_CONTAINER: StartedContainers,
    PhaseName.GIT_CLONE: SpecKitChoice,
    PhaseName.SPECKIT_SPECIFY: SpecifyTurn,
    PhaseName.SPECKIT_PLAN: AgentTurn,
    PhaseName.SPECKIT_TASKS: AgentTurn,
    PhaseName.COMMIT_PUSH: CommittedChange,
    PhaseName.OPEN_PR: OpenedPullRequest,
}
"""The type of each phase's output. The other phases have none."""


class PhaseStatus(StrEnum):
    """A phase's status; `PHASE_MOVES` has the allowed transitions."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    RETRYING = "retrying"


PHASE_MOVES: dict[PhaseStatus, frozenset[PhaseStatus]] = {
    PhaseStatus.PENDING: frozenset({PhaseStatus.RUNNING, PhaseStatus.SKIPPED}),
    PhaseStatus.RUNNING: frozenset(
        {PhaseStatus.SUCCEEDED, PhaseStatus.FAILED, PhaseStatus.SKIPPED, PhaseStatus.RETRYING}
    ),
    PhaseStatus.FAILED: frozenset({PhaseStatus.RETRYING}),
    PhaseStatus.RETRYING: frozenset({PhaseStatus.RUNNING, PhaseStatus.SKIPPED}),
    # Phases that only provide what a run needs (containers, the agent's copy) are repeated on every attempt.
    PhaseStatus.SUCCEEDED: frozenset({PhaseStatus.RETRYING}),
    PhaseStatus.SKIPPED: frozenset({PhaseStatus.RETRYING}),
}


def may_move_phase(current: PhaseStatus, target: PhaseStatus) -> bool:
    """Whether a phase in `current` may become `target`."""
    return target in PHASE_MOVES[current]


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of one run. `attempt` counts from 1 once it has begun; times are UTC.

    `metadata` is for people, `output` for code: its type is the phase's in `PHASE_OUTPUTS`.
    """

    phase: PhaseName
    status: PhaseStatus = PhaseStatus.PENDING
    attempt: int = 0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    stdout_path: str | None = None
    stderr_path: str | None = None
    metadata: dict[str, Any] = {}
    output: PhaseOutput | None = None
