"""Pause a shard: it claims no run until it is resumed. Its login is still checked and renewed."""

import msgspec

from moonmind_appliance.errors import NotFound
from moonmind_appliance.models import Shard
from moonmind_appliance.resources import Resources
from moonmind_appliance.scheduling.waiting import update_waiting
from moonmind_appliance.store.shards import ShardChange, ShardEvent


def pause_shard(resources: Resources, shard: int) -> Shard:
    """Stop the shard from claiming runs; a run in progress on it continues. Idempotent. For operators.

    Runs that only this shard could take wait with reason `shard_busy` and no time.

    Raises:
        NotFound: there is no shard of that number.
        StoreError: the database cannot be used.
    """
    _check(resources, shard)
    now = resources.clock()

    def paused(known: Shard) -> ShardChange:
        if known.paused_at is not None:
            return ShardChange(known)
        return ShardChange(msgspec.structs.replace(known, paused_at=now), [ShardEvent("shard.paused")])

    state = resources.store.shards.change(shard, paused)
    update_waiting(resources)
    return state


def resume_shard(resources: Resources, shard: int) -> Shard:
    """Let a paused shard claim runs again, and wake it. Idempotent. For operators.

    Raises:
        NotFound: there is no shard of that number.
        StoreError: the database cannot be used.
    """
    _check(resources, shard)

    def resumed(known: Shard) -> ShardChange:
        if known.paused_at is None:
            return ShardChange(known)
        event = ShardEvent("shard.resumed", {"paused_at": known.paused_at})
        return ShardChange(msgspec.structs.replace(known, paused_at=None), [event])

    state = resources.store.shards.change(shard, resumed)
    update_waiting(resources)
    resources.wakeups.wake(shard)
    return state


def _check(resources: Resources, shard: int) -> None:
    if not 0 <= shard < len(resources.shards):
        raise NotFound(
            f"Shard {shard} does not exist.", hint=f"Use 0 to {len(resources.shards) - 1}, or raise CODEX_SHARDS."
        )
