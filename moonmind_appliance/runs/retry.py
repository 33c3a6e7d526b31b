"""Queue a failed or cancelled run again: it continues at its first phase that has not succeeded."""

from moonmind_appliance.models import Actor, Run
from moonmind_appliance.resources import Resources
from moonmind_appliance.runs.submit import limits_of, refuse_when_stopping
from moonmind_appliance.runs.visibility import visible_run
from moonmind_appliance.scheduling.wake import wake_for


def retry_run(resources: Resources, actor: Actor, run_id: str) -> Run:
    """Put the run back into the queue, and wake a shard.

    Raises:
        NotFound: there is no such run, or another user submitted it.
        Conflict: `run_not_retryable`, the run is neither failed nor cancelled; `specification_removed`, its text was
            removed after its retention time.
        TooMany: `too_many_queued_runs` or `queue_full`.
        Unavailable: `draining`.
    """
    refuse_when_stopping(resources)
    visible_run(resources.store, actor, run_id)
    run = resources.store.runs.retry(run_id, now=resources.clock(), limits=limits_of(resources.settings))
    wake_for(resources, run)
    return run
