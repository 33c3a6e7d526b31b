"""The records of artifacts agree with the files, after the worker could not see to it."""

import hashlib
from pathlib import Path

import pytest

from moonmind_appliance.execution.artifact_records import correct_records
from moonmind_appliance.execution.artifacts import RunArtifacts
from moonmind_appliance.models import ArtifactType, PhaseName
from tests.appliance_under_test import ApplianceUnderTest

LONGER = b'{"a": 1}'


@pytest.fixture
def run_id(appliance: ApplianceUnderTest) -> str:
    """A run with three artifacts: one became longer, one has lost its file, and one became a folder."""
    run, resources = appliance.submit(), appliance.resources
    artifacts = RunArtifacts(
        run.run_id, store=appliance.store, files=resources.files, redactor=resources.redactor, clock=appliance.clock
    )
    for name in ("damaged.json", "gone.json", "longer.json"):
        artifacts.keep(name, ArtifactType.COMMIT_STATUS, PhaseName.COMMIT_PUSH, b"{}", "application/json")
    folder = folder_of(appliance, run.run_id)
    (folder / "longer.json").write_bytes(LONGER)
    (folder / "gone.json").unlink()
    (folder / "damaged.json").unlink()
    (folder / "damaged.json").mkdir()
    return run.run_id


def folder_of(appliance: ApplianceUnderTest, run_id: str) -> Path:
    return appliance.resources.settings.moonmind_data_dir / "runs" / run_id / "artifacts"


@pytest.mark.parametrize("worker_ended", [True, False])
def test_each_record_is_corrected(appliance: ApplianceUnderTest, run_id: str, *, worker_ended: bool) -> None:
    """A file that cannot be read does not prevent that. While a worker may write, no record is removed."""
    for _ in range(2):
        correct_records(appliance.resources, run_id, worker_ended=worker_ended)
    recorded = {entry.name: (entry.size_bytes, entry.sha256) for entry in appliance.store.artifacts.list(run_id)}
    assert recorded["longer.json"] == (len(LONGER), hashlib.sha256(LONGER).hexdigest())
    assert sorted(recorded.keys() - {"longer.json"}) == (
        ["damaged.json"] if worker_ended else ["damaged.json", "gone.json"]
    )


@pytest.mark.parametrize("worker_ended", [True, False])
def test_a_file_without_a_record(appliance: ApplianceUnderTest, run_id: str, *, worker_ended: bool) -> None:
    """It is removed, but not while a worker may still record it."""
    half = folder_of(appliance, run_id) / ".0123.part"
    half.write_bytes(b"half")
    correct_records(appliance.resources, run_id, worker_ended=worker_ended)
    assert half.exists() is not worker_ended
