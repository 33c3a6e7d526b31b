"""Delete workspaces and artifacts of ended runs, and events, after their retention time. Run rows are kept."""

import logging
from datetime import timedelta

from moonmind_appliance.errors import StoreError
from moonmind_appliance.execution.sweep import Sweeper, When, is_over
from moonmind_appliance.resources import Resources

_log = logging.getLogger(__name__)

# Events are small and explain what happened, so they are kept longer than files.
_EVENTS_AT_LEAST = timedelta(days=90)


def retain(resources: Resources) -> list[str]:
    """Remove volumes, files and artifact rows of runs past their retention time; returns their ids. Idempotent.

    Lists existing volumes and folders, not rows. So it also removes those of a run that has no row any more (a restored
    database) or that ended without an expiry of its artifacts (cancelled in the queue). If one cannot be removed now,
    the others are removed, and the next call tries again.
    """
    now, gone = resources.clock(), []
    expired = set(resources.store.artifacts.runs_expired(now))
    swept = Sweeper(resources).sweep(When.RETENTION, expired=expired)
    with_volumes = {found.run_id for found in swept.removed if found.run_id}
    for run_id in sorted(
        (expired | with_volumes | set(resources.files.run_ids())) - {it.run_id for it in swept.failed}
    ):
        try:
            known = run_id in expired or run_id in with_volumes
            if not known and not is_over(resources, resources.store.runs.get(run_id, text=False), now):
                continue
            resources.files.remove_run(run_id)
            resources.store.artifacts.remove(run_id)
        except StoreError as error:
            _log.warning("Run %s: its artifacts could not be removed yet: %s", run_id, error)
            continue
        gone.append(run_id)
    events_kept = max(_EVENTS_AT_LEAST, timedelta(seconds=resources.settings.artifact_retention))
    if forgotten := resources.store.events.prune(now - events_kept):
        _log.info("%d events of ended runs removed; their retention period has ended.", forgotten)
    return gone
