"""The logs of a run's phases among its artifacts."""

from datetime import UTC, datetime

import pytest

from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.execution.artifacts import RunArtifacts
from moonmind_appliance.models import Artifact, ArtifactType, PhaseName
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.store import Store
from moonmind_appliance.views.phase_logs import phase_logs


def artifact(name: str, kind: ArtifactType) -> Artifact:
    return Artifact(
        artifact_id=f"id of {name}",
        run_id="r1",
        name=name,
        artifact_type=kind,
        storage_path=f"runs/r1/artifacts/{name}",
        content_type="text/plain",
        size_bytes=0,
        sha256="",
        source_phase=PhaseName.CLEANUP,
        created_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


def test_in_order() -> None:
    """Logs are sorted by phase, attempt (as numbers) and stream, for any order of the artifacts."""
    names = [
        "cleanup.stdout.log",
        "speckit_plan.attempt-10.stdout.jsonl",
        "speckit_plan.attempt-2.stdout.jsonl",
        "speckit_plan.stdout.jsonl",
        "git_clone.stderr.log",
        "git_clone.stdout.log",
    ]
    kinds = {"stdout": ArtifactType.STDOUT_LOG, "stderr": ArtifactType.STDERR_LOG}
    found = phase_logs(artifact(name, kinds["stderr" if "stderr" in name else "stdout"]) for name in names)
    assert [(log.phase.value, log.attempt, log.stream) for log in found] == [
        ("git_clone", 1, "stdout"),
        ("git_clone", 1, "stderr"),
        ("speckit_plan", 1, "stdout"),
        ("speckit_plan", 2, "stdout"),
        ("speckit_plan", 10, "stdout"),
        ("cleanup", 1, "stdout"),
    ]
    assert found[0].artifact_id == "id of git_clone.stdout.log"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("change.patch", ArtifactType.STDOUT_LOG), ("git_clone.summary.md", ArtifactType.DIFF_SUMMARY)],
)
def test_others(name: str, kind: ArtifactType) -> None:
    """An artifact that is not a log of a phase is left out."""
    assert phase_logs([artifact(name, kind)]) == []


@pytest.mark.parametrize("attempt", [1, 2, 12])
@pytest.mark.parametrize("kind", [ArtifactType.STDOUT_LOG, ArtifactType.STDERR_LOG])
@pytest.mark.parametrize("phase", [PhaseName.GIT_CLONE, PhaseName.SPECKIT_PLAN])
def test_as_they_are_kept(store: Store, make_run, phase: PhaseName, kind: ArtifactType, attempt: int) -> None:
    """The names that an execution gives are recognised, from the first byte on."""
    run = store.runs.insert(make_run())
    files = ArtifactFiles(store.database.path.parent)
    kept = RunArtifacts(
        run.run_id, store=store, files=files, redactor=Redactor(), clock=lambda: datetime(2026, 3, 1, tzinfo=UTC)
    )
    log = kept.log(phase, attempt, kind)
    (found,) = phase_logs(store.artifacts.list(run.run_id))
    assert (found.phase, found.attempt, f"{found.stream}_log") == (phase, attempt, kind.value)
    assert found.storage_path == log.storage_path
    log.close()
