"""Let go of what is older than its time: workspaces and artifacts of ended runs, and events. The runs' rows stay."""

import logging
from datetime import datetime, timedelta

from moonmind_appliance.errors import EngineError, StoreError
from moonmind_appliance.models import FINAL_RUN_STATUSES
from moonmind_appliance.phases import LABEL_APPLIANCE, LABEL_RUN
from moonmind_appliance.runs.tools import Tools

_log = logging.getLogger(__name__)

# Events tell why something happened, and are asked for longer than files; they are small.
_EVENTS_AT_LEAST = timedelta(days=90)


def retain(tools: Tools) -> list[str]:
    """Remove volumes, files and artifact rows of runs whose time is over; returns their ids. Safe twice.

    Found by what is there, not by what should be: a volume or folder of a run that has no row any more (a database
    that was restored), or that ended without a word about its artifacts (cancelled in the queue), goes too. What
    cannot be removed now holds up nothing else, and is tried again next time.
    """
    now, gone = tools.clock(), []
    volumes = _volumes(tools)
    expired = set(tools.store.artifacts.runs_expired(now))
    for run_id in sorted(expired | set(volumes) | set(tools.files.run_ids())):
        try:
            if run_id not in expired and not _is_over(tools, run_id, now):
                continue
            for name in volumes.get(run_id, []):
                tools.engine.remove_volume(name)
            tools.files.remove_run(run_id)
            tools.store.artifacts.remove(run_id)
        except (EngineError, StoreError) as error:
            _log.warning("Run %s: its containers or volumes could not be removed yet: %s", run_id, error)
            continue
        gone.append(run_id)
        _log.info("Run %s: artifacts and workspace removed; their retention period has ended.", run_id)
    forgotten = tools.store.events.prune(now - max(_EVENTS_AT_LEAST, _kept(tools)))
    if forgotten:
        _log.info("%d events of ended runs removed; their retention period has ended.", forgotten)
    return gone


def _kept(tools: Tools) -> timedelta:
    return timedelta(seconds=tools.settings.artifact_retention)


def _volumes(tools: Tools) -> dict[str, list[str]]:
    """The names of this appliance's volumes by the run that they belong to; none while no engine answers."""
    found: dict[str, list[str]] = {}
    try:
        for volume in tools.engine.volumes({LABEL_APPLIANCE: tools.appliance_id}):
            if run_id := volume.labels.get(LABEL_RUN):
                found.setdefault(run_id, []).append(volume.name)
    except EngineError as error:
        _log.warning("The engine's volumes cannot be listed now: %s", error)
    return found


def _is_over(tools: Tools, run_id: str, now: datetime) -> bool:
    """Whether nothing of the run needs to be kept any more."""
    run = tools.store.runs.get(run_id)
    if run is None:
        return True
    return run.status in FINAL_RUN_STATUSES and (run.completed_at or run.accepted_at) + _kept(tools) < now
