"""A run's files and their rows: stored together, redacted, and correct once they are closed."""

import hashlib
from pathlib import Path

import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.execution.artifacts import RunArtifacts
from moonmind_appliance.models import Artifact, ArtifactType, PhaseName, Run
from tests.appliance_under_test import TOKEN, ApplianceUnderTest

OUT, ERR = ArtifactType.STDOUT_LOG, ArtifactType.STDERR_LOG


@pytest.fixture
def run(appliance: ApplianceUnderTest) -> Run:
    return appliance.submit()


@pytest.fixture
def artifacts(appliance: ApplianceUnderTest, run: Run) -> RunArtifacts:
    resources = appliance.resources
    return RunArtifacts(
        run.run_id, store=resources.store, files=resources.files, redactor=resources.redactor, clock=resources.clock
    )


def only(appliance: ApplianceUnderTest, run: Run) -> Artifact:
    (artifact,) = appliance.store.artifacts.list(run.run_id)
    return artifact


def content(appliance: ApplianceUnderTest, artifact: Artifact) -> bytes:
    return appliance.resources.files.path(artifact.storage_path).read_bytes()


NAMES = {
    "git_clone.stdout.log": (PhaseName.GIT_CLONE, 1, OUT),
    "git_clone.attempt-2.stderr.log": (PhaseName.GIT_CLONE, 2, ERR),
    "speckit_plan.stdout.jsonl": (PhaseName.SPECKIT_PLAN, 1, OUT),
    "speckit_plan.attempt-3.stdout.jsonl": (PhaseName.SPECKIT_PLAN, 3, OUT),
    "speckit_plan.stderr.log": (PhaseName.SPECKIT_PLAN, 1, ERR),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_log_is_named_by_phase_attempt_and_stream(
    appliance: ApplianceUnderTest, run: Run, artifacts: RunArtifacts, name: str
) -> None:
    """An agent's output is JSON lines; each attempt has its own log."""
    phase, attempt, kind = NAMES[name]
    artifacts.log(phase, attempt, kind).close()
    kept = only(appliance, run)
    assert (kept.name, kept.artifact_type, kept.source_phase) == (name, kind, phase)


def test_a_log_can_be_read_while_it_grows(appliance: ApplianceUnderTest, run: Run, artifacts: RunArtifacts) -> None:
    """Its row exists from the first byte; size and digest are correct at the end."""
    log = artifacts.log(PhaseName.GIT_CLONE, 1, OUT)
    log.write(b"first line\nsecond")
    assert content(appliance, only(appliance, run)) == b"first line\n"
    log.close()
    kept = only(appliance, run)
    assert content(appliance, kept) == b"first line\nsecond"
    assert (kept.size_bytes, kept.sha256) == (17, hashlib.sha256(b"first line\nsecond").hexdigest())


def test_a_secret_reaches_neither_log_nor_file(
    appliance: ApplianceUnderTest, run: Run, artifacts: RunArtifacts
) -> None:
    """Also one that comes in two pieces."""
    log = artifacts.log(PhaseName.GIT_CLONE, 1, OUT)
    log.write(f"token {TOKEN[:12]}".encode())
    log.write(f"{TOKEN[12:]} end\n".encode())
    log.close()
    artifacts.keep("status.json", ArtifactType.COMMIT_STATUS, PhaseName.COMMIT_PUSH, TOKEN.encode(), "application/json")
    for artifact in appliance.store.artifacts.list(run.run_id):
        assert TOKEN.encode() not in content(appliance, artifact)
        assert artifact.size_bytes == len(content(appliance, artifact))


def test_a_file_kept_again_replaces_the_first_and_keeps_its_address(
    appliance: ApplianceUnderTest, run: Run, artifacts: RunArtifacts
) -> None:
    """The same name is the same artifact: links stay valid."""
    for text in (b"one", b"two!"):
        artifacts.keep("status.json", ArtifactType.COMMIT_STATUS, PhaseName.COMMIT_PUSH, text, "application/json")
        if text == b"one":
            first = only(appliance, run)
    kept = only(appliance, run)
    assert (kept.artifact_id, kept.size_bytes, content(appliance, kept)) == (first.artifact_id, 4, b"two!")


def test_closing_twice_is_closing_once(appliance: ApplianceUnderTest, run: Run, artifacts: RunArtifacts) -> None:
    """No second row, no error."""
    log = artifacts.log(PhaseName.GIT_CLONE, 1, OUT)
    log.write(b"x")
    log.close()
    log.close()
    assert only(appliance, run).size_bytes == 1


def test_a_log_without_a_row_is_not_left_open(appliance: ApplianceUnderTest, artifacts: RunArtifacts) -> None:
    """On a full disk the row cannot be saved; each attempt would otherwise use up an open file."""
    with appliance.store.database.read() as connection:
        connection.execute("PRAGMA query_only = ON")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(StoreError):
        artifacts.log(PhaseName.GIT_CLONE, 1, OUT)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
