"""Puts a shard into a state."""

from collections.abc import Mapping

from moonmind_appliance.models import Shard
from moonmind_appliance.store import Store
from moonmind_appliance.store.shards import ShardChange, ShardEvent


def save_shard(store: Store, shard: Shard, event: str | None = None, data: Mapping[str, object] | None = None) -> None:
    """Replace the state of the shard with that number, with an event or without."""
    events = [] if event is None else [ShardEvent(event, data or {})]
    store.shards.change(shard.shard, lambda _: ShardChange(shard, events))
