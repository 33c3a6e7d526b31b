"""A run, its artifacts and its events, and the allowed transitions of its status."""

import time
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from moonmind_appliance.models.agent import AgentInfo
from moonmind_appliance.models.failure import Failure
from moonmind_appliance.models.phase import Phase, PhaseName
from moonmind_appliance.models.phase_output import PhaseOutput

_Output = TypeVar("_Output", bound=PhaseOutput)


class RunStatus(StrEnum):
    """A run's status; `RUN_MOVES` has the allowed transitions."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NO_CHANGES = "no_changes"
    CANCELLED = "cancelled"


FINAL_RUN_STATUSES = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.NO_CHANGES, RunStatus.CANCELLED})

RUN_MOVES: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: frozenset({RunStatus.IN_PROGRESS, RunStatus.CANCELLED}),
    # Back to `queued` if it must wait, or was interrupted by a crash or a shutdown.
    RunStatus.IN_PROGRESS: frozenset(
        {
            RunStatus.SUCCEEDED,
            RunStatus.NO_CHANGES,
            RunStatus.FAILED,
            RunStatus.CANCELLED,
            RunStatus.QUEUED,
        }
    ),
    RunStatus.SUCCEEDED: frozenset(),
    RunStatus.NO_CHANGES: frozenset(),
    # By a retry.
    RunStatus.FAILED: frozenset({RunStatus.QUEUED}),
    RunStatus.CANCELLED: frozenset({RunStatus.QUEUED}),
}


def may_move_run(current: RunStatus, target: RunStatus) -> bool:
    """Whether a run in `current` may become `target`."""
    return target in RUN_MOVES[current]


class WaitReason(StrEnum):
    """What a queued run waits for, apart from its turn."""

    LOGIN = "login"
    QUOTA = "quota"
    DISK = "disk"
    ENGINE = "engine"
    GITHUB = "github"
    SHARD_BUSY = "shard_busy"
    DRAINED = "drained"


LONGEST_PAUSE = {
    WaitReason.DISK: timedelta(minutes=1),
    WaitReason.ENGINE: timedelta(minutes=1),
    # GitHub's limits reset within an hour.
    WaitReason.GITHUB: timedelta(minutes=62),
    WaitReason.SHARD_BUSY: timedelta(minutes=1),
}
"""For reasons that are tried again after a pause: its upper limit. A later time means that the clock was set back."""


class WaitingFor(msgspec.Struct, frozen=True):
    """Why a queued run does not start, and until when (None: until a person acts)."""

    reason: WaitReason
    until: datetime | None = None
    detail: str = ""


class Actor(msgspec.Struct, frozen=True):
    """The caller: the token's subject and a display name; an `operator` sees and controls all runs."""

    subject: str
    username: str
    operator: bool = False


class Authenticated(msgspec.Struct, frozen=True):
    """Whom a token authenticates, and when it expires, in seconds since 1970; None: never."""

    actor: Actor
    until: float | None = None

    def expired(self) -> bool:
        """Whether the token is no longer valid."""
        return self.until is not None and time.time() >= self.until


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run's row. Times are UTC; `repository` is "owner/name"; `phases` are in `PHASE_ORDER`.

    `specify_text` is empty in lists. `shard` is the shard it ran on last, `shard_pin` the one that the caller
    requested. `lease` names the claim that may write to the row while the run is in progress.
    """

    run_id: str
    repository: str
    specify_text: str
    accepted_at: datetime
    created_by: Actor
    base_branch: str = "main"
    dry_run: bool = False
    external_ref: str | None = None
    shard_pin: int | None = None
    status: RunStatus = RunStatus.QUEUED
    waiting_for: WaitingFor | None = None
    shard: int | None = None
    lease: str | None = None
    cancel_requested_at: datetime | None = None
    interruptions: int = 0
    branch_name: str | None = None
    pull_request_url: str | None = None
    result_summary: str | None = None
    failure: Failure | None = None
    clarifications: list[str] = []
    agent: AgentInfo | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    phases: list[Phase] = []

    def phase(self, name: PhaseName) -> Phase:
        """The phase of that name; a phase without a row is pending."""
        for phase in self.phases:
            if phase.phase == name:
                return phase
        return Phase(phase=name)

    def output(self, kind: type[_Output]) -> _Output | None:
        """The output of the phase that returns this type; None if it has not returned it yet."""
        return next((phase.output for phase in self.phases if isinstance(phase.output, kind)), None)

    @property
    def short_id(self) -> str:
        """The first eight characters of the id, for branch names and display."""
        return self.run_id[:8]


class ArtifactType(StrEnum):
    """An artifact's kind of content."""

    STDOUT_LOG = "stdout_log"
    STDERR_LOG = "stderr_log"
    DIFF_SUMMARY = "diff_summary"
    COMMIT_STATUS = "commit_status"
    CREDENTIAL_AUDIT = "credential_audit"
    EGRESS_RECORD = "egress_record"
    METRICS_SNAPSHOT = "metrics_snapshot"
    ENVIRONMENT_INFO = "environment_info"


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One stored file of a run, redacted. `storage_path` is relative to the data folder."""

    artifact_id: str
    run_id: str
    name: str
    artifact_type: ArtifactType
    storage_path: str
    content_type: str
    size_bytes: int
    sha256: str
    source_phase: PhaseName
    created_at: datetime
    expires_at: datetime | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a run or a shard; `event_id` increases in the order of writing."""

    event_id: int
    kind: str
    at: datetime
    run_id: str | None = None
    shard: int | None = None
    data: dict[str, Any] = {}
