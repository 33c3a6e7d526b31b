"""Delete what is past its retention time: workspaces and artifacts of ended runs, and events. Run rows are kept."""

import logging
from datetime import datetime, timedelta

from moonmind_appliance.errors import EngineError, StoreError
from moonmind_appliance.models import FINAL_RUN_STATUSES
from moonmind_appliance.phases import LABEL_APPLIANCE, LABEL_RUN
from moonmind_appliance.resources import Resources

_log = logging.getLogger(__name__)

# Events are small and explain what happened, so they are kept longer than files.
_EVENTS_AT_LEAST = timedelta(days=90)


def retain(resources: Resources) -> list[str]:
    """Remove volumes, files and artifact rows of runs past their retention time; returns their ids. Idempotent.

    Lists existing volumes and folders, not rows. So it also removes those of a run that has no row any more (a restored
    database) or that ended without an expiry of its artifacts (cancelled in the queue). What cannot be removed now is
    tried again next time, and does not stop the rest.
    """
    now, gone = resources.clock(), []
    volumes = _volumes(resources)
    expired = set(resources.store.artifacts.runs_expired(now))
    for run_id in sorted(expired | set(volumes) | set(resources.files.run_ids())):
        try:
            if run_id not in expired and not _is_over(resources, run_id, now):
                continue
            for name in volumes.get(run_id, []):
                resources.engine.remove_volume(name)
            resources.files.remove_run(run_id)
            resources.store.artifacts.remove(run_id)
        except (EngineError, StoreError) as error:
            _log.warning("Run %s: its containers or volumes could not be removed yet: %s", run_id, error)
            continue
        gone.append(run_id)
        _log.info("Run %s: artifacts and workspace removed; their retention period has ended.", run_id)
    forgotten = resources.store.events.prune(now - max(_EVENTS_AT_LEAST, _kept(resources)))
    if forgotten:
        _log.info("%d events of ended runs removed; their retention period has ended.", forgotten)
    return gone


def _kept(resources: Resources) -> timedelta:
    return timedelta(seconds=resources.settings.artifact_retention)


def _volumes(resources: Resources) -> dict[str, list[str]]:
    """The names of this appliance's volumes by run id; empty if no engine answers."""
    found: dict[str, list[str]] = {}
    try:
        for volume in resources.engine.volumes({LABEL_APPLIANCE: resources.appliance_id}):
            if run_id := volume.labels.get(LABEL_RUN):
                found.setdefault(run_id, []).append(volume.name)
    except EngineError as error:
        _log.warning("The engine's volumes cannot be listed now: %s", error)
    return found


def _is_over(resources: Resources, run_id: str, now: datetime) -> bool:
    """Whether the run's retention time is over."""
    run = resources.store.runs.get(run_id)
    if run is None:
        return True
    return run.status in FINAL_RUN_STATUSES and (run.completed_at or run.accepted_at) + _kept(resources) < now
