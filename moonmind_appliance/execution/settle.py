"""Settle a cancelled run whose worker is blocked, for example because the Docker engine does not respond."""

import logging
from datetime import timedelta

from moonmind_appliance.errors import EngineError, StoreError
from moonmind_appliance.execution.artifact_records import correct_records
from moonmind_appliance.models import LABEL_APPLIANCE, LABEL_RUN, RunStatus
from moonmind_appliance.phases.renewals import wait_for_renewals
from moonmind_appliance.resources import Resources

_log = logging.getLogger(__name__)


def settle_cancelled(resources: Resources, run_id: str, lease: str) -> None:
    """End the run as `cancelled` without its worker, and make the records of its artifacts agree with the files.

    The claim ends here: the worker writes nothing more to the run when its call returns. Called in another thread than
    the worker's.

    Raises:
        LeaseLost: the run has ended, or another worker has claimed it.
        StoreError: the database cannot be used now; nothing has changed.
    """
    now = resources.clock()
    # Before the run ends, so that callers who see the end see complete records; again after it, for later writes.
    _complete_artifacts(resources, run_id)
    resources.store.progress.settle_cancelled(run_id, lease, now=now)
    _log.warning("Run %s is cancelled, but its worker is blocked. Its containers are removed later.", run_id)
    _complete_artifacts(resources, run_id)


def _complete_artifacts(resources: Resources, run_id: str) -> None:
    kept_until = resources.clock() + timedelta(seconds=resources.settings.artifact_retention)
    try:
        resources.store.artifacts.expire_at(run_id, kept_until)
        correct_records(resources, run_id, worker_ended=False)
    except StoreError as error:
        _log.warning("Run %s: the records of its artifacts could not be completed: %s", run_id, error)


def remove_leftovers(resources: Resources, run_id: str) -> None:
    """Remove the containers of a run that no worker executes. Never raises: a sweep tries again within minutes.

    Only containers that existed while the run was not in progress are removed: a retry may have claimed it again.
    """
    engine = resources.engine
    try:
        found = engine.containers({LABEL_APPLIANCE: resources.appliance_id, LABEL_RUN: run_id})
        run = resources.store.runs.get(run_id, text=False)
        if run is None or run.status is not RunStatus.IN_PROGRESS:
            wait_for_renewals(engine, found)
            for container in found:
                engine.remove(container.container_id)
    except (EngineError, StoreError) as error:
        _log.warning("Run %s: its containers could not be removed yet: %s", run_id, error)
