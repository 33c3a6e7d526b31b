"""The records of a run's stored files."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import Artifact, ArtifactType, PhaseName, Run, RunStatus
from moonmind_appliance.store import Store
from moonmind_appliance.store.artifacts import EXPIRED


@pytest.fixture
def run(store: Store, make_run: Callable[..., Run]) -> Run:
    return store.runs.insert(make_run())


@pytest.fixture
def make_artifact(run: Run, now: datetime) -> Callable[..., Artifact]:
    def make(name: str = "stdout.log", **fields: object) -> Artifact:
        known = {
            "artifact_id": f"id-{name}",
            "run_id": run.run_id,
            "name": name,
            "artifact_type": ArtifactType.STDOUT_LOG,
            "storage_path": f"runs/{run.run_id}/artifacts/{name}",
            "content_type": "text/plain",
            "size_bytes": 3,
            "sha256": "00",
            "source_phase": PhaseName.GIT_CLONE,
            "created_at": now,
        }
        return Artifact(**{**known, **fields})  # type: ignore[arg-type]

    return make


def test_round_trip(store: Store, make_artifact: Callable[..., Artifact], now: datetime) -> None:
    """A saved record can be read by run and id, and has an event."""
    artifact = make_artifact(expires_at=now + timedelta(days=7))
    assert store.artifacts.save(artifact) == artifact
    assert store.artifacts.get(artifact.run_id, artifact.artifact_id) == artifact
    assert store.artifacts.get("another", artifact.artifact_id) is None
    assert store.artifacts.get(artifact.run_id, "another") is None
    event = store.events.after(0, run_id=artifact.run_id)[-1]
    assert (event.kind, event.data["artifact_id"]) == ("artifact.saved", artifact.artifact_id)


def test_order(store: Store, make_artifact: Callable[..., Artifact], run: Run, now: datetime) -> None:
    """A list is sorted by time of creation, then by name."""
    later = now + timedelta(microseconds=1)
    for artifact in (make_artifact("c", created_at=later), make_artifact("b"), make_artifact("a")):
        store.artifacts.save(artifact)
    assert [artifact.name for artifact in store.artifacts.list(run.run_id)] == ["a", "b", "c"]


def test_same_name(store: Store, make_artifact: Callable[..., Artifact], run: Run) -> None:
    """A second file with the same name replaces the record; the id stays, so links stay valid."""
    store.artifacts.save(make_artifact())
    second = make_artifact(artifact_id="new", size_bytes=9, sha256="99", source_phase=PhaseName.OPEN_PR)
    kept = store.artifacts.save(second)
    assert kept == msgspec.structs.replace(second, artifact_id="id-stdout.log")
    assert store.artifacts.list(run.run_id) == [kept]


def test_unknown_run(store: Store, make_artifact: Callable[..., Artifact]) -> None:
    """An artifact belongs to a run that exists."""
    with pytest.raises(StoreError):
        store.artifacts.save(make_artifact(run_id="absent"))


def test_expiry(store: Store, make_artifact: Callable[..., Artifact], run: Run, now: datetime) -> None:
    """A run's artifacts expire at their time, not before, and not while the run is open."""
    store.artifacts.save(make_artifact("a"))
    store.artifacts.save(make_artifact("b"))
    assert store.artifacts.runs_expired(now + timedelta(days=999)) == []
    until = now + timedelta(days=7)
    store.artifacts.expire_at(run.run_id, until)
    assert store.artifacts.runs_expired(until) == []
    claimed = store.queue.claim(0, "lease", now=now, lease_seconds=60)
    assert claimed is not None
    assert store.artifacts.runs_expired(until) == []
    store.progress.finish(run.run_id, "lease", RunStatus.FAILED, now=now, result_summary=None, failure=None)
    assert store.artifacts.runs_expired(until - timedelta(microseconds=1)) == []
    assert store.artifacts.runs_expired(until) == [run.run_id]
    store.runs.retry(run.run_id, now=now)
    assert [artifact.expires_at for artifact in store.artifacts.list(run.run_id)] == [None, None]


def test_expired_artifacts_are_found_by_an_index(store: Store) -> None:
    """Retention looks for them every hour; artifacts that have not expired are not read."""
    with store.database.read() as connection:
        steps = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {EXPIRED}", ("2026",))]
    assert "SEARCH artifacts USING INDEX artifacts_expiry (expires_at<?)" in steps
    assert not [step for step in steps if step.startswith("SCAN")]


def test_the_size_of_all_logs(store: Store, make_artifact: Callable[..., Artifact], run: Run) -> None:
    """Of both streams and all attempts; other files do not count."""
    assert store.artifacts.log_bytes(run.run_id) == 0
    store.artifacts.save(make_artifact("a", size_bytes=5))
    store.artifacts.save(make_artifact("b", size_bytes=7, artifact_type=ArtifactType.STDERR_LOG))
    store.artifacts.save(make_artifact("c", size_bytes=9, artifact_type=ArtifactType.DIFF_SUMMARY))
    assert store.artifacts.log_bytes(run.run_id) == 12
