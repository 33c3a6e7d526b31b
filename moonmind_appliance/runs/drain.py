"""Drain the appliance: it finishes the runs in progress and starts no others, until it is resumed."""

from datetime import datetime

from moonmind_appliance.resources import Resources
from moonmind_appliance.scheduling.waiting import update_waiting
from moonmind_appliance.scheduling.wake import wake_queued


def drain(resources: Resources) -> datetime:
    """Start no more runs; returns since when. Idempotent, from any process. For operators.

    Runs in progress continue. Runs are still accepted, and wait with reason `drained` and no time. It lasts until
    `resume`, also across a restart.

    Raises:
        StoreError: the database cannot be used.
    """
    since = resources.store.drain.begin(resources.clock())
    update_waiting(resources)
    return since


def resume(resources: Resources) -> None:
    """Start runs again, and wake the shards for those that waited. Idempotent, from any process. For operators.

    Raises:
        StoreError: the database cannot be used.
    """
    resources.store.drain.end(resources.clock())
    wake_queued(resources)
