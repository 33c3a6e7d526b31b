"""Stored values are read back unchanged."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from moonmind_appliance.errors import UnreadableRow
from moonmind_appliance.models import (
    PHASE_ORDER,
    PHASE_OUTPUTS,
    Actor,
    AgentInfo,
    AgentTurn,
    Artifact,
    ArtifactType,
    CommittedChange,
    FailureCode,
    LeftOutPath,
    LoginState,
    OpenedPullRequest,
    PathWarning,
    Phase,
    PhaseName,
    PhaseOutput,
    PhaseStatus,
    PreparedJob,
    QuotaWindow,
    Run,
    RunStatus,
    Shard,
    SpecifyTurn,
    SpecKitChoice,
    StartedContainers,
    WaitingFor,
    WaitReason,
    WrittenFeature,
    failure,
)
from moonmind_appliance.store import Store
from moonmind_appliance.store.rows import readable_time
from tests.shard_states import save_shard

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


RUN = Run(
    run_id="0a1b2c3d-0000-4000-8000-000000000000",
    repository="Acme/Shop",
    specify_text="Ünïcode \U0001f319\r\n\ttab \u2028 'quotes' \"too\"",
    accepted_at=NOW,
    created_by=Actor("local:ann", "ann", operator=True),
    base_branch="release/2026",
    dry_run=True,
    external_ref="JIRA-7",
    shard_pin=1,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data")
    yield opened
    opened.close()


def stored(store: Store) -> Run:
    run = store.runs.get(RUN.run_id)
    assert run is not None
    return run


def test_a_run_is_read_back_unchanged(store: Store) -> None:
    """Byte for byte, with its nine pending phases."""
    store.runs.insert(RUN)
    pending = [Phase(phase=name) for name in PHASE_ORDER]
    assert stored(store) == msgspec.structs.replace(RUN, phases=pending)


@pytest.mark.parametrize("reason", WaitReason)
def test_every_wait_reason_is_read_back(store: Store, reason: WaitReason) -> None:
    """With and without a time."""
    store.runs.insert(RUN)
    for waits in (WaitingFor(reason, NOW + timedelta(hours=1), "why"), WaitingFor(reason)):
        store.queue.wait(RUN.run_id, waits)
        assert stored(store).waiting_for == waits


@pytest.mark.parametrize("code", FailureCode)
def test_every_failure_is_read_back(store: Store, code: FailureCode) -> None:
    """With its retry time."""
    store.runs.insert(RUN)
    store.queue.claim(1, "lease", now=NOW, lease_seconds=30)
    why = failure(code, "words", retry_at=NOW)
    store.progress.finish(RUN.run_id, "lease", RunStatus.FAILED, now=NOW, result_summary="words", failure=why)
    assert (stored(store).failure, stored(store).status) == (why, RunStatus.FAILED)


OUTPUTS: dict[PhaseName, PhaseOutput] = {
    PhaseName.PREPARE_JOB: PreparedJob("Acme/Shop"),
    PhaseName.START_JOB_CONTAINER: StartedContainers(volumes_are_new=True),
    PhaseName.GIT_CLONE: SpecKitChoice(
        "image", "no_skills", "Because.", "0.9.4", ["a"], constitution=True, notes=["b"]
    ),
    PhaseName.SPECKIT_SPECIFY: SpecifyTurn({"output_tokens": 7}, WrittenFeature("specs/001-a", "A", "- b")),
    PhaseName.SPECKIT_PLAN: AgentTurn({"output_tokens": 8}),
    PhaseName.SPECKIT_TASKS: AgentTurn({"output_tokens": 9}),
    PhaseName.COMMIT_PUSH: CommittedChange(
        dry_run=True,
        paths=["a"],
        left_out=[LeftOutPath("b", "why")],
        left_out_count=3,
        warnings=[PathWarning("c", "why")],
    ),
    PhaseName.OPEN_PR: OpenedPullRequest("opened as a draft"),
}


def test_every_type_of_output_is_tested() -> None:
    """The outputs above are one of each phase, of the phase's type."""
    assert {name: type(output) for name, output in OUTPUTS.items()} == PHASE_OUTPUTS


@pytest.mark.parametrize("name", PhaseName)
def test_every_phase_is_read_back(store: Store, name: PhaseName) -> None:
    """With its attempt, times, logs and recorded JSON."""
    store.runs.insert(RUN)
    store.queue.claim(1, "lease", now=NOW, lease_seconds=30)
    phase = Phase(
        phase=name,
        status=PhaseStatus.RUNNING,
        attempt=3,
        started_at=NOW,
        completed_at=NOW + timedelta(seconds=1),
        stdout_path="runs/x/out",
        stderr_path="runs/x/err",
        metadata={"a": [1, 2.5, None, True], "b": {"ü": "\ufffd"}},
        output=OUTPUTS.get(name),
    )
    store.progress.save_phase(RUN.run_id, "lease", phase)
    assert stored(store).phase(name) == phase


def test_the_result_of_a_run_is_read_back(store: Store) -> None:
    """Branch, address, questions, agent, end."""
    store.runs.insert(RUN)
    store.queue.claim(1, "lease", now=NOW, lease_seconds=30)
    known = {
        "branch_name": "b",
        "pull_request_url": "https://x",
        "clarifications": ["a", "b"],
        "agent": AgentInfo("a", "1", "2"),
    }
    store.progress.update(RUN.run_id, "lease", **known)  # type: ignore[arg-type]
    store.progress.finish(RUN.run_id, "lease", RunStatus.SUCCEEDED, now=NOW, result_summary="done", failure=None)
    run = stored(store)
    assert {name: getattr(run, name) for name in known} == known
    assert (run.completed_at, run.result_summary, run.started_at, run.shard) == (NOW, "done", NOW, 1)


@pytest.mark.parametrize("kind", ArtifactType)
def test_every_kind_of_artifact_is_read_back(store: Store, kind: ArtifactType) -> None:
    """With and without an expiry."""
    store.runs.insert(RUN)
    artifact = Artifact(
        artifact_id=f"id-{kind.value}",
        run_id=RUN.run_id,
        name=f"{kind.value}.log",
        artifact_type=kind,
        storage_path="runs/x",
        content_type="text/plain",
        size_bytes=2**40,
        sha256="0" * 64,
        source_phase=PhaseName.CLEANUP,
        created_at=NOW,
    )
    for expires in (None, NOW):
        kept = msgspec.structs.replace(artifact, expires_at=expires)
        store.artifacts.save(kept)
        assert store.artifacts.list(RUN.run_id) == [kept]


@pytest.mark.parametrize("state", LoginState)
def test_every_login_state_is_read_back(store: Store, state: LoginState) -> None:
    """With its quota windows."""
    shard = Shard(shard=3, login=state, quota=[QuotaWindow(99.5, 300, NOW), QuotaWindow(1.0)], cooldown_until=NOW)
    save_shard(store, shard)
    assert store.shards.get(3) == shard


def test_a_column_with_deep_json_is_an_unreadable_row(store: Store) -> None:
    """As any other value that cannot be read: it must not end the program."""
    store.runs.insert(RUN)
    with store.database.write() as connection:
        connection.execute("UPDATE runs SET clarifications = ?", ("[" * 3000,))
    with pytest.raises(UnreadableRow, match=RUN.run_id):
        store.runs.get(RUN.run_id)
    assert store.run_lists.queued() == []


def test_a_time_without_its_row() -> None:
    """NULL and a text that is no time are None."""
    times = [readable_time(text) for text in ("2026-03-01T12:00:00.123456Z", None, "soon", "2026-03-01")]
    assert times == [NOW, None, None, None]
