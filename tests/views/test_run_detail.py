"""One run with all its phases and artifacts, and its specification text."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from moonmind_appliance.errors import NotFound
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
from moonmind_appliance.resources import Resources
from moonmind_appliance.store import Store
from moonmind_appliance.views.run_detail import run_detail, specification
from tests.appliance_under_test import make_resources

ANN = Actor("local:ann", "ann")
BOB = Actor("local:bob", "bob")
OPERATOR = Actor("local:olga", "olga", operator=True)


@pytest.fixture
def resources(store: Store, tmp_path: Path) -> Resources:
    return make_resources(store, tmp_path)


@pytest.fixture
def run_id(store: Store, make_run: Callable[..., Run], now: datetime) -> str:
    """A run in progress in its first phase, with one artifact."""
    run = store.runs.insert(make_run(specify_text="Add a basket.\r\n"))
    store.queue.claim(0, "mine", now=now, lease_seconds=9)
    store.progress.update(run.run_id, "mine", agent=AgentInfo("codex_cli", "1", "2"))
    store.progress.save_phase(
        run.run_id, "mine", Phase(phase=PhaseName.PREPARE_JOB, status=PhaseStatus.RUNNING, attempt=1, started_at=now)
    )
    store.artifacts.save(
        Artifact(
            artifact_id="a1",
            run_id=run.run_id,
            name="prepare_job.stdout.log",
            artifact_type=ArtifactType.STDOUT_LOG,
            storage_path="runs/x/artifacts/prepare_job.stdout.log",
            content_type="text/plain",
            size_bytes=3,
            sha256="0" * 64,
            source_phase=PhaseName.PREPARE_JOB,
            created_at=now,
        )
    )
    return run.run_id


@pytest.mark.parametrize("actor", [ANN, OPERATOR])
def test_detail(resources: Resources, run_id: str, now: datetime, actor: Actor) -> None:
    """All nine phases in order, the artifacts, the agent."""
    detail = run_detail(resources.store, actor, run_id)
    assert [phase.phase for phase in detail.phases] == list(PHASE_ORDER)
    assert (detail.phases[0].status, detail.phases[0].attempt) == (PhaseStatus.RUNNING, 1)
    assert detail.phases[0].seconds(now + timedelta(seconds=3)) == 3.0
    assert detail.phases[1].seconds(now) is None
    assert [(artifact.artifact_id, artifact.size_bytes) for artifact in detail.artifacts] == [("a1", 3)]
    assert detail.agent == AgentInfo("codex_cli", "1", "2")


def test_specification(resources: Resources, run_id: str) -> None:
    """The text exactly as it was submitted."""
    assert specification(resources.store, ANN, run_id) == "Add a basket.\r\n"


@pytest.mark.parametrize("read", [run_detail, specification])
def test_not_visible(resources: Resources, run_id: str, read: Callable[[Store, Actor, str], object]) -> None:
    """The error is the same for a missing run and for another submitter's."""
    for actor, name in ((BOB, run_id), (OPERATOR, "absent")):
        with pytest.raises(NotFound) as refusal:
            read(resources.store, actor, name)
        assert (refusal.value.code, refusal.value.message) == ("run_not_found", f"Run {name} does not exist.")
