"""Cancel a run: a queued one at once, one in progress at its shard's next heartbeat."""

from moonmind_appliance.models import Actor, Run
from moonmind_appliance.resources import Resources
from moonmind_appliance.runs.visibility import visible_run


def cancel_run(resources: Resources, actor: Actor, run_id: str) -> Run:
    """Cancel a queued run, or request it for one in progress (its next heartbeat sees it). Idempotent until then.

    Raises:
        NotFound: there is no such run, or another user submitted it.
        Conflict: `run_final`, the run has ended.
    """
    visible_run(resources.store, actor, run_id)
    return resources.store.runs.request_cancel(run_id, now=resources.clock())
