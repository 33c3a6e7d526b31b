"""Make the records of a run's artifacts agree with the files, after its worker could not."""

import logging

import msgspec

from moonmind_appliance.errors import FileUnusable, UnreadableRow
from moonmind_appliance.models import Artifact
from moonmind_appliance.resources import Resources

_log = logging.getLogger(__name__)


def correct_records(resources: Resources, run_id: str, *, worker_ended: bool) -> None:
    """Store the size and digest that each file has. Idempotent.

    A log that was still growing has its size and digest only when it is closed, and a crash may have come between the
    file and its record. A file that cannot be read does not prevent the correction of the others.

    Args:
        resources: the verbs' dependencies.
        run_id: the run.
        worker_ended: whether no worker writes to the files any more: then records without a file and files without a
            record are removed, too.

    Raises:
        StoreError: the records cannot be read or written now.
    """
    artifacts = resources.store.artifacts
    recorded = artifacts.list(run_id)
    for artifact in recorded:
        try:
            found = _correct(resources, artifact)
        except FileUnusable as error:
            _log.warning("Run %s: the artifact %s cannot be read: %s", run_id, artifact.name, error)
            continue
        if worker_ended and not found:
            artifacts.forget(run_id, artifact.name)
    if worker_ended:
        resources.files.remove_all_but(run_id, {artifact.name for artifact in recorded})


def complete_records(resources: Resources, run_id: str) -> None:
    """The same after the run's worker has ended. A folder or row that cannot be used does not prevent the next attempt.

    Raises:
        StoreError: the whole database cannot be used now.
    """
    try:
        correct_records(resources, run_id, worker_ended=True)
    except (UnreadableRow, FileUnusable) as error:
        _log.warning("Run %s: the records of its artifacts could not be completed: %s", run_id, error)


def _correct(resources: Resources, artifact: Artifact) -> bool:
    """Whether the file exists. A worker may write to it meanwhile: it is measured until record and file agree."""
    while (found := resources.files.measure(artifact.storage_path)) is not None:
        if (found.size_bytes, found.sha256) == (artifact.size_bytes, artifact.sha256):
            return True
        artifact = resources.store.artifacts.save(
            msgspec.structs.replace(artifact, size_bytes=found.size_bytes, sha256=found.sha256)
        )
    return False
