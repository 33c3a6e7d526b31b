"""What is known of each shard."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from moonmind_appliance.models import Shard
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.events import record
from moonmind_appliance.store.rows import json_text, to_shard

_log = logging.getLogger(__name__)


class ShardEvent(NamedTuple):
    """What a change of a shard's state is told as."""

    kind: str
    data: Mapping[str, object] = {}


class ShardChange(NamedTuple):
    """A shard's next state, with the events that tell of it."""

    shard: Shard
    events: Sequence[ShardEvent] = ()


class ShardStore:
    """One row a shard; a shard that was never seen gets one whose login is unknown."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, shard: int) -> Shard:
        """The shard's state.

        Raises:
            StoreError: the row cannot be read; it names the shard.
        """
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM shards WHERE shard = ?", (shard,)).fetchone()
        if row is None:
            with self._database.write() as connection:
                connection.execute("INSERT OR IGNORE INTO shards VALUES (?, ?)", (shard, json_text(Shard(shard=shard))))
                row = connection.execute("SELECT * FROM shards WHERE shard = ?", (shard,)).fetchone()
        return to_shard(row)

    def all(self, count: int) -> list[Shard]:
        """The shards 0 to `count` - 1."""
        return [self.get(shard) for shard in range(count)]

    def save(self, shard: Shard, *, event: str | None = None, data: Mapping[str, object] | None = None) -> None:
        """Keep the state and, in the same transaction, the event of that kind."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO shards VALUES (?, ?) ON CONFLICT (shard) DO UPDATE SET state = excluded.state",
                (shard.shard, json_text(shard)),
            )
            if event is not None:
                record(connection, event, shard=shard.shard, data=data)

    def change(self, shard: int, how: Callable[[Shard], ShardChange]) -> Shard:
        """Replace the state by what `how` makes of it, in one transaction: no other process's change is lost.

        Raises:
            StoreError: the row cannot be read; it names the shard.
        """
        with self._database.write() as connection:
            row = connection.execute("SELECT * FROM shards WHERE shard = ?", (shard,)).fetchone()
            known = Shard(shard=shard) if row is None else to_shard(row)
            changed = how(known)
            if changed.shard != known or row is None:
                connection.execute(
                    "INSERT INTO shards VALUES (?, ?) ON CONFLICT (shard) DO UPDATE SET state = excluded.state",
                    (shard, json_text(changed.shard)),
                )
            for event in changed.events:
                record(connection, event.kind, shard=shard, data=event.data)
        for event in changed.events:
            _log.info("Shard %d: %s %s", shard, event.kind, json_text(dict(event.data)))
        return changed.shard
