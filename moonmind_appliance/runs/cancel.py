"""End a run: a queued one at once, one in progress as soon as its shard hears of it."""

from datetime import datetime

from moonmind_appliance.models import Actor, Run
from moonmind_appliance.runs.visibility import visible_run
from moonmind_appliance.store import Store


def cancel_run(store: Store, actor: Actor, run_id: str, *, now: datetime) -> Run:
    """Cancel a queued run, or ask for the end of one in progress (its next heartbeat sees it). Safe twice until then.

    Raises:
        NotFound: there is no such run, or it is somebody else's.
        Conflict: `run_final`, it has ended.
    """
    visible_run(store, actor, run_id)
    return store.runs.request_cancel(run_id, now=now)
