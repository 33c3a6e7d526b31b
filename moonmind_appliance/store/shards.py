"""The stored state of each shard."""

import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, NamedTuple, TypeVar

import msgspec

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import Shard
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.events import record
from moonmind_appliance.store.redacting import RedactingConnection
from moonmind_appliance.store.rows import json_text, to_shard
from moonmind_appliance.untrusted_json import decode

_LONGEST_REASON = 300
_T = TypeVar("_T")
_Account = Annotated[str, msgspec.Meta(max_length=64)]


class ShardEvent(NamedTuple):
    """An event that describes a change of a shard's state."""

    kind: str
    data: Mapping[str, object] = {}


class ShardChange(NamedTuple):
    """A shard's next state, with the events that describe the change."""

    shard: Shard
    events: Sequence[ShardEvent] = ()


class ShardStore:
    """One row per shard; a new shard gets a row with an unknown login.

    A row that cannot be read is replaced by one with an unknown login, with the event `shard.state_unreadable`: one bad
    row must not stop the other shards. Each state is validated before it is written, which prevents such rows.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, shard: int) -> Shard:
        """The shard's state."""
        with self._database.read() as connection:
            row = _row(connection, shard)
        if row is not None:
            with contextlib.suppress(StoreError):
                return _state(row)
        with self._database.write() as connection:
            return _known(connection, shard)

    def all(self, count: int) -> list[Shard]:
        """The shards 0 to `count` - 1."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM shards WHERE shard < ?", (count,)).fetchall()
        known: dict[int, Shard] = {}
        for row in rows:
            with contextlib.suppress(StoreError):
                known[row["shard"]] = _state(row)
        return [known.get(shard) or self.get(shard) for shard in range(count)]

    def change(self, shard: int, how: Callable[[Shard], ShardChange]) -> Shard:
        """Replace the state with the result of `how`, in one transaction, so that no other process's change is lost.

        Raises:
            StoreError: the new state is not valid; nothing was written.
        """
        with self._database.write() as connection:
            known = _known(connection, shard)
            changed = how(known)
            if changed.shard != known:
                _write(connection, changed.shard)
            for event in changed.events:
                record(connection, event.kind, shard=shard, data=event.data)
        return changed.shard


def _row(connection: sqlite3.Connection, shard: int) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute("SELECT * FROM shards WHERE shard = ?", (shard,)).fetchone()
    return row


def _state(row: sqlite3.Row) -> Shard:
    """The row's state.

    Raises:
        StoreError: the row cannot be read; the error names the shard.
    """
    try:
        state = to_shard(row)
    except ValueError as error:
        raise StoreError(f"Shard {row['shard']}: the stored row cannot be read ({error}).") from error
    if state.shard != row["shard"]:
        raise StoreError(f"Shard {row['shard']}: the stored row is of shard {state.shard}.")
    return state


def _known(connection: RedactingConnection, shard: int) -> Shard:
    """The stored state, inside a write transaction; a new one if none can be read."""
    row = _row(connection, shard)
    if row is None:
        fresh = Shard(shard=shard)
    else:
        try:
            return _state(row)
        except StoreError as error:
            # Keep the account that was signed in, else another account's login would be accepted; and a paused shard
            # must stay paused.
            fresh = Shard(shard=shard, account=_kept(row["state"], "account", _Account) or "")
            fresh = msgspec.structs.replace(fresh, paused_at=_kept(row["state"], "paused_at", datetime))
            record(connection, "shard.state_unreadable", shard=shard, data={"why": error.message[:_LONGEST_REASON]})
    _write(connection, fresh)
    return fresh


def _kept(state: str, name: str, kind: type[_T]) -> _T | None:
    """One field of a row that cannot be read as a whole; None if the field cannot be read either."""
    try:
        fields = decode(state.encode(), dict[str, msgspec.Raw])
        return decode(bytes(fields[name]), kind) if name in fields else None
    except (msgspec.MsgspecError, ValueError):
        return None


def _write(connection: sqlite3.Connection, shard: Shard) -> None:
    try:
        msgspec.json.decode(msgspec.json.encode(shard), type=Shard)
    except (msgspec.MsgspecError, ValueError) as error:
        raise StoreError(
            f"Shard {shard.shard}: the new state is out of bounds and was not stored ({error}).",
            hint="This is a bug in the appliance: report it.",
        ) from error
    connection.execute(
        "INSERT INTO shards VALUES (?, ?) ON CONFLICT (shard) DO UPDATE SET state = excluded.state",
        (shard.shard, json_text(shard)),
    )
