"""What the API answers: the fields of docs/api.md, by their names and in their order. Times are RFC 3339 in UTC."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from moonmind_appliance.models import (
    PHASE_ORDER,
    AgentInfo,
    Artifact,
    ArtifactType,
    Event,
    Failure,
    LoginState,
    Phase,
    PhaseName,
    PhaseStatus,
    QuotaWindow,
    Run,
    RunStatus,
    Shard,
    ShardName,
    WaitReason,
)
from moonmind_appliance.shards.health import LoginHealth, health_of


class RunAccepted(msgspec.Struct, frozen=True):
    """A run that is kept."""

    run_id: Annotated[str, msgspec.Meta(examples=["5b0c6a5e-7d5c-4c1e-9a0f-2f6f5d1c7b11"])]
    status: RunStatus
    accepted_at: datetime


class WaitingForDetail(msgspec.Struct, frozen=True):
    """What a queued run waits for, and until when; without a time, until somebody acts."""

    reason: WaitReason
    until: datetime | None


class CreatedBy(msgspec.Struct, frozen=True):
    """Whose token submitted the run."""

    subject: str
    username: str


class PhaseDetail(msgspec.Struct, frozen=True):
    """One of the nine phases. `attempt` counts from 1 once it has begun; the paths are artifacts' `storage_path`s."""

    phase: PhaseName
    status: PhaseStatus
    attempt: int
    started_at: datetime | None
    completed_at: datetime | None
    stdout_path: str | None
    stderr_path: str | None
    metadata: dict[str, Any]


class ArtifactSummary(msgspec.Struct, frozen=True):
    """One kept file. `storage_path` is relative to the data root; kept until `expires_at`, set when the run ends."""

    artifact_id: str
    name: str
    artifact_type: ArtifactType
    storage_path: str
    content_type: str
    size_bytes: int
    expires_at: datetime | None


class ArtifactDetail(ArtifactSummary, frozen=True):
    """One kept file, with where to get its bytes."""

    download_url: Annotated[str, msgspec.Meta(description="Absolute address of the bytes; needs the same token.")]
    sha256: Annotated[str, msgspec.Meta(description="Of the whole content, in hexadecimal.")]
    source_phase: PhaseName
    created_at: datetime


class RunSummary(msgspec.Struct, frozen=True):
    """A run as lists show it."""

    run_id: str
    external_ref: str | None
    repository: str
    base_branch: str
    dry_run: bool
    status: RunStatus
    waiting_for: WaitingForDetail | None
    branch_name: str | None
    pull_request_url: str | None
    result_summary: str | None
    failure: Failure | None
    clarifications: list[str]
    shard: int | None
    created_by: CreatedBy
    accepted_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class RunDetail(RunSummary, frozen=True):
    """A run with its phases and artifacts. `agent` is known once a Spec Kit phase began."""

    phases: list[PhaseDetail]
    artifacts: list[ArtifactSummary]
    agent: AgentInfo | None


class RunPage(msgspec.Struct, frozen=True):
    """Some runs, newest first. `next_cursor` gets the page behind; null: there is none."""

    items: list[RunSummary]
    next_cursor: str | None


class ShardEvent(msgspec.Struct, frozen=True):
    """A decision about a shard, or what became of its login."""

    kind: str
    at: datetime
    data: dict[str, Any]


class ShardDetail(msgspec.Struct, frozen=True):
    """A shard: its login as last seen, its quota, and the run that it has in hand."""

    shard: int
    queue: str
    volume: str
    login: LoginState
    login_reason: str
    account_email: str | None
    plan: str | None
    login_at: datetime | None
    checked_at: datetime | None
    access_expires_at: datetime | None
    last_refresh_at: datetime | None
    last_turn_at: datetime | None
    quota: list[QuotaWindow]
    rests_until: datetime | None
    run_id: str | None
    by_api_key: bool
    health: LoginHealth
    events: list[ShardEvent]


class ShardList(msgspec.Struct, frozen=True):
    """All shards, by number."""

    items: list[ShardDetail]


class Health(msgspec.Struct, frozen=True):
    """The process is alive."""

    status: Annotated[str, msgspec.Meta(examples=["ok"])]
    version: str


class ReadyCheck(msgspec.Struct, frozen=True):
    """One thing that work needs."""

    name: str
    ok: bool
    message: str


class Ready(msgspec.Struct, frozen=True):
    """The appliance takes and runs work."""

    status: Annotated[str, msgspec.Meta(examples=["ready"])]
    checks: list[ReadyCheck]


def run_accepted(run: Run) -> RunAccepted:
    """The short answer of the verbs."""
    return RunAccepted(run.run_id, run.status, run.accepted_at)


def run_summary(run: Run) -> RunSummary:
    """A run without its phases and artifacts."""
    return RunSummary(**_head(run))


def run_detail(run: Run, artifacts: Sequence[Artifact]) -> RunDetail:
    """A run with everything; all nine phases, in order."""
    return RunDetail(
        **_head(run),
        phases=[_phase_detail(run.phase(name)) for name in PHASE_ORDER],
        artifacts=[ArtifactSummary(**_file(artifact)) for artifact in artifacts],
        agent=run.agent,
    )


def artifact_detail(artifact: Artifact, download_url: str) -> ArtifactDetail:
    """An artifact with the address of its bytes."""
    return ArtifactDetail(
        **_file(artifact),
        download_url=download_url,
        sha256=artifact.sha256,
        source_phase=artifact.source_phase,
        created_at=artifact.created_at,
    )


def shard_detail(
    shard: Shard, name: ShardName, run_id: str | None, events: Sequence[Event], *, now: datetime
) -> ShardDetail:
    """A shard with its names, the run in hand and its newest events."""
    return ShardDetail(
        shard=shard.shard,
        queue=name.queue,
        volume=name.volume,
        login=shard.login,
        login_reason=shard.login_reason,
        account_email=shard.account_email,
        plan=shard.plan,
        login_at=shard.login_at,
        checked_at=shard.checked_at,
        access_expires_at=shard.access_expires_at,
        last_refresh_at=shard.last_refresh_at,
        last_turn_at=shard.last_turn_at,
        quota=shard.quota,
        rests_until=shard.rests_until,
        run_id=run_id,
        by_api_key=shard.by_api_key,
        health=health_of(shard, now=now),
        events=[ShardEvent(event.kind, event.at, event.data) for event in events],
    )


def _head(run: Run) -> dict[str, Any]:
    waiting = run.waiting_for
    return {
        "run_id": run.run_id,
        "external_ref": run.external_ref,
        "repository": run.repository,
        "base_branch": run.base_branch,
        "dry_run": run.dry_run,
        "status": run.status,
        "waiting_for": WaitingForDetail(waiting.reason, waiting.until) if waiting else None,
        "branch_name": run.branch_name,
        "pull_request_url": run.pull_request_url,
        "result_summary": run.result_summary,
        "failure": run.failure,
        "clarifications": run.clarifications,
        "shard": run.shard,
        "created_by": CreatedBy(run.created_by.subject, run.created_by.username),
        "accepted_at": run.accepted_at,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
    }


def _phase_detail(phase: Phase) -> PhaseDetail:
    return PhaseDetail(
        phase.phase,
        phase.status,
        phase.attempt,
        phase.started_at,
        phase.completed_at,
        phase.stdout_path,
        phase.stderr_path,
        phase.metadata,
    )


def _file(artifact: Artifact) -> dict[str, Any]:
    return {
        "artifact_id": artifact.artifact_id,
        "name": artifact.name,
        "artifact_type": artifact.artifact_type,
        "storage_path": artifact.storage_path,
        "content_type": artifact.content_type,
        "size_bytes": artifact.size_bytes,
        "expires_at": artifact.expires_at,
    }
