"""Whether the appliance is drained, and which runs are running."""

from datetime import datetime

import msgspec

from moonmind_appliance.models import RunStatus
from moonmind_appliance.store import Store


class DrainView(msgspec.Struct, frozen=True):
    """`drained_at` is null if the appliance starts runs. `running` are the ids of the runs that a worker executes."""

    drained_at: datetime | None
    running: list[str]
    queued: int


def drain_view(store: Store, *, now: datetime) -> DrainView:
    """The state now.

    A run in progress whose claim has expired is not running: the process that executed it was killed, and `serve`
    queues the run when it starts.
    """
    with store.database.read():
        running = [
            run.run_id
            for run in store.run_lists.in_progress()
            if (until := store.queue.lease_until(run.run_id)) is not None and until > now
        ]
        return DrainView(store.drain.since(), running, store.runs.counts()[RunStatus.QUEUED])
