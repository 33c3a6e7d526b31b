"""Queue a failed or cancelled run again: it continues at its first phase that has not succeeded."""

from datetime import datetime

from moonmind_appliance.dispatch import Wakeups
from moonmind_appliance.models import Actor, Run
from moonmind_appliance.runs.submit import refuse_when_draining
from moonmind_appliance.runs.visibility import visible_run
from moonmind_appliance.scheduling.wake import wake_for
from moonmind_appliance.settings import Settings
from moonmind_appliance.store import Store


def retry_run(
    store: Store,
    wakeups: Wakeups,
    settings: Settings,
    actor: Actor,
    run_id: str,
    *,
    now: datetime,
    draining: bool = False,
) -> Run:
    """Put the run back into the queue, and wake a shard.

    Raises:
        NotFound: there is no such run, or another user submitted it.
        Conflict: `run_not_retryable`, the run is neither failed nor cancelled.
        Unavailable: `draining`.
    """
    refuse_when_draining(draining=draining)
    visible_run(store, actor, run_id)
    run = store.runs.retry(run_id, now=now)
    wake_for(store, wakeups, settings, run, now=now)
    return run
