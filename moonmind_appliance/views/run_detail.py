"""All details of one run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from moonmind_appliance.models import (
    PHASE_ORDER,
    Actor,
    AgentInfo,
    Artifact,
    ArtifactType,
    Phase,
    PhaseName,
    PhaseStatus,
    Run,
)
from moonmind_appliance.runs.visibility import visible_run
from moonmind_appliance.store import Store
from moonmind_appliance.views.run_summary import RunSummary, summary_fields


class PhaseDetail(msgspec.Struct, frozen=True):
    """One of the nine phases. `attempt` counts from 1 after the start; the paths are artifacts' `storage_path`s."""

    phase: PhaseName
    status: PhaseStatus
    attempt: int
    started_at: datetime | None
    completed_at: datetime | None
    stdout_path: str | None
    stderr_path: str | None
    metadata: dict[str, Any]

    def seconds(self, now: datetime) -> float | None:
        """Seconds from its start to its end, or to `now`; None before it started."""
        if self.started_at is None:
            return None
        return max(0.0, ((self.completed_at or now) - self.started_at).total_seconds())


class ArtifactSummary(msgspec.Struct, frozen=True):
    """One stored file. `storage_path` is relative to the data root; kept until `expires_at`, set when the run ends."""

    artifact_id: str
    name: str
    artifact_type: ArtifactType
    storage_path: str
    content_type: str
    size_bytes: int
    expires_at: datetime | None


class ArtifactDetail(ArtifactSummary, frozen=True):
    """One stored file, with the address of its bytes."""

    download_url: Annotated[str, msgspec.Meta(description="Absolute URL of the content; requires the same token.")]
    sha256: Annotated[str, msgspec.Meta(description="SHA-256 of the whole content, in hexadecimal.")]
    source_phase: PhaseName
    created_at: datetime


class RunDetail(RunSummary, frozen=True):
    """A run with its phases and artifacts. `agent` is known after a Spec Kit phase has started."""

    phases: list[PhaseDetail]
    artifacts: list[ArtifactSummary]
    agent: AgentInfo | None
    specification_kept: Annotated[
        bool,
        msgspec.Meta(
            description="false: the specification text was removed after TEXT_RETENTION, and the run cannot be retried."
        ),
    ] = True


def run_detail(store: Store, actor: Actor, run_id: str) -> RunDetail:
    """The run, if the actor may see it.

    Raises:
        NotFound: `run_not_found`.
    """
    # One snapshot: a phase that has ended is shown with its artifacts.
    with store.database.read():
        run = visible_run(store, actor, run_id)
        kept = store.runs.has_specification(run_id)
        artifacts = store.artifacts.list(run_id)
    return detail_of(run, artifacts, specification_kept=kept)


def specification(store: Store, actor: Actor, run_id: str) -> str:
    """The specification text that was submitted, if the actor may see the run.

    Raises:
        NotFound: `run_not_found`.
        Conflict: `specification_removed`, it was removed after its retention time.
    """
    visible_run(store, actor, run_id)
    return store.runs.specification(run_id)


def detail_of(run: Run, artifacts: Sequence[Artifact], *, specification_kept: bool = True) -> RunDetail:
    """A run with all details; all nine phases, in order."""
    return RunDetail(
        **summary_fields(run),
        phases=[_phase_detail(run.phase(name)) for name in PHASE_ORDER],
        artifacts=[ArtifactSummary(**_summary_of(artifact)) for artifact in artifacts],
        agent=run.agent,
        specification_kept=specification_kept,
    )


def artifact_detail(artifact: Artifact, download_url: str) -> ArtifactDetail:
    """An artifact with the address of its bytes."""
    return ArtifactDetail(
        **_summary_of(artifact),
        download_url=download_url,
        sha256=artifact.sha256,
        source_phase=artifact.source_phase,
        created_at=artifact.created_at,
    )


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


def _summary_of(artifact: Artifact) -> dict[str, Any]:
    return {
        "artifact_id": artifact.artifact_id,
        "name": artifact.name,
        "artifact_type": artifact.artifact_type,
        "storage_path": artifact.storage_path,
        "content_type": artifact.content_type,
        "size_bytes": artifact.size_bytes,
        "expires_at": artifact.expires_at,
    }
