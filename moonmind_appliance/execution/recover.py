"""Requeue runs whose execution ended without releasing them: after a crash, and while the appliance runs."""

from collections.abc import Collection
from datetime import timedelta

import msgspec

from moonmind_appliance.execution.artifact_records import complete_records
from moonmind_appliance.execution.heartbeat import LEASE_SECONDS
from moonmind_appliance.execution.sweep import Sweeper, When
from moonmind_appliance.resources import Resources
from moonmind_appliance.scheduling.wake import wake_queued
from moonmind_appliance.store.shards import ShardChange

# Grace after the end of a lease: the engine or the disk may only have hung for a moment.
_GRACE = timedelta(seconds=60)
_LONGEST_LEASE = timedelta(seconds=LEASE_SECONDS + 60)


class Recovered(msgspec.Struct, frozen=True):
    """What was recovered."""

    containers_removed: list[str]
    runs_requeued: list[str]


def recover(resources: Resources) -> Recovered:
    """Before the workers start: remove leftover containers, requeue their runs, and wake shards. Idempotent.

    The caller has the data folder's lock.

    Does not fail if the engine does not respond: runs wait for it, and starting a run removes its leftovers first.
    """
    removed = Sweeper(resources).sweep(When.START)
    requeued = []
    for run in resources.store.run_lists.in_progress():
        complete_records(resources, run.run_id)
        if resources.store.queue.requeue_abandoned(run.run_id, run.lease):
            requeued.append(run.run_id)
            _want_check(resources, run.shard)
    wake_queued(resources)
    return Recovered(removed, requeued)


def _want_check(resources: Resources, shard: int | None) -> None:
    """The agent may have been killed while it renewed its login, with the old tokens invalid: check before use."""
    if shard is not None and shard < len(resources.shards):
        resources.store.shards.change(
            shard, lambda known: ShardChange(msgspec.structs.replace(known, check_wanted=True))
        )


def requeue_expired(resources: Resources, *, running: Collection[str] = ()) -> list[str]:
    """Requeue runs whose claim expired without being released; returns their ids. Idempotent.

    For use while the appliance is running; at start-up `recover` does this. The caller wakes the shards afterwards.

    Args:
        resources: the verbs' dependencies.
        running: ids of runs that this process still executes. Their claim is renewed as soon as the database accepts a
            write again.
    """
    queue, now = resources.store.queue, resources.clock()
    requeued = []
    for run in resources.store.run_lists.in_progress():
        until = queue.lease_until(run.run_id)
        # A claim that is valid for longer than any lease was made before the clock was set back.
        valid = until is not None and now - _GRACE <= until <= now + _LONGEST_LEASE
        if run.run_id in running or valid:
            continue
        complete_records(resources, run.run_id)
        if queue.requeue_abandoned(run.run_id, run.lease):
            requeued.append(run.run_id)
    return requeued
