"""The event log, in the order of writing."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from moonmind_appliance.errors import UnreadableRow
from moonmind_appliance.models import Author, Event, current_author
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.redacting import RedactingConnection, Verbatim
from moonmind_appliance.store.rows import json_text, time_text, to_event
from moonmind_appliance.untrusted_json import decode

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


AUDITED = frozenset(
    {
        "backup.made",
        "backup.restored",
        "drain.began",
        "drain.ended",
        "retention.pruned",
        "run.cancel_requested",
        "run.cancelled",
        "run.queued",
        "run.removed",
        "run.retried",
        "shard.paused",
        "shard.resumed",
        "shard.signed_in",
        "shard.signed_out",
        "token.created",
        "token.revoked",
    }
)
"""The kinds of changes that people and programs request, as opposed to what follows from them."""


def record(
    connection: RedactingConnection,
    kind: str,
    *,
    at: datetime | None = None,
    run_id: str | None = None,
    shard: int | None = None,
    data: Mapping[str, object] | None = None,
) -> None:
    """Write an event inside the transaction of the change that it describes; one of `AUDITED` with its author."""
    author = current_author() if kind in AUDITED else None
    row = connection.execute(
        "INSERT INTO events (kind, at, run_id, shard, data, author) VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
        (
            Verbatim(kind),
            Verbatim(time_text(at or datetime.now(UTC))),
            None if run_id is None else Verbatim(run_id),
            shard,
            json_text(dict(data or {})),
            None if author is None else _stored(author),
        ),
    ).fetchone()
    connection.recorded.append(to_event(row))


@lru_cache(maxsize=256)
def _stored(author: Author) -> Verbatim:
    return Verbatim(msgspec.json.encode(author).decode())


def record_for_runs(
    connection: RedactingConnection,
    kind: str,
    which: str,
    values: Mapping[str, object],
    *,
    data: Mapping[str, object],
) -> int:
    """Write the same event for every run that matches the SQL condition `which`; returns their number."""
    rows = connection.execute(
        f"""
        INSERT INTO events (kind, at, run_id, data)
        SELECT :event_kind, :event_at, run_id, :event_data FROM runs WHERE {which} RETURNING *
        """,  # noqa: S608 - fixed clauses
        {
            **values,
            "event_kind": kind,
            "event_at": time_text(datetime.now(UTC)),
            "event_data": json_text(dict(data)),
        },
    ).fetchall()
    connection.recorded += map(to_event, rows)
    return len(rows)


# The condition is that of the index `events_of_authors`.
AUTHORED = "SELECT * FROM events WHERE author IS NOT NULL AND at >= ? ORDER BY event_id DESC LIMIT ?"
# The condition is that of the index `events_of_shard`.
OF_SHARD = "SELECT * FROM events WHERE shard = ? AND run_id IS NULL ORDER BY event_id DESC LIMIT ?"


class EventStore:
    """Every automatic decision and every change of state. Ids increase in the order of writing, with gaps.

    Lists omit an event that cannot be read: it must not hide the others.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        kind: str,
        *,
        run_id: str | None = None,
        shard: int | None = None,
        data: Mapping[str, object] | None = None,
    ) -> None:
        """Write one event in its own transaction. `data` must be JSON-compatible and contain no secret."""
        with self._database.write() as connection:
            record(connection, kind, run_id=run_id, shard=shard, data=data)

    def after(self, event_id: int, *, run_id: str | None = None, limit: int = 200) -> list[Event]:
        """The next events after that id, oldest first; of one run, or of all."""
        with self._database.read() as connection:
            if run_id is None:
                rows = connection.execute(
                    "SELECT * FROM events WHERE event_id > ? ORDER BY event_id LIMIT ?", (event_id, limit)
                )
            else:
                rows = connection.execute(
                    "SELECT * FROM events WHERE run_id = ? AND event_id > ? ORDER BY event_id LIMIT ?",
                    (run_id, event_id, limit),
                )
            return _readable(rows)

    def of_kinds(self, run_id: str, kinds: Collection[str]) -> list[Event]:
        """All events of a run that are of these kinds, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                """
                SELECT * FROM events WHERE run_id = ? AND kind IN (SELECT value FROM json_each(?)) ORDER BY event_id
                """,
                (run_id, json_text(list(kinds))),
            )
            return _readable(rows)

    def of_shard(self, shard: int, *, limit: int = 20) -> list[Event]:
        """The newest events of a shard itself, not of the runs on it; newest first."""
        with self._database.read() as connection:
            rows = connection.execute(OF_SHARD, (shard, limit))
            return _readable(rows)

    def authored(self, *, limit: int, since: datetime | None = None) -> list[tuple[Event, Author]]:
        """The newest events that have an author, newest first; only those since that time."""
        with self._database.read() as connection:
            rows = connection.execute(AUTHORED, (time_text(since or _LONG_AGO), limit)).fetchall()
        found = []
        for row in rows:
            with suppress(UnreadableRow, msgspec.MsgspecError):
                found.append((to_event(row), decode(row["author"].encode(), Author)))
        return found

    def latest(self) -> int:
        """The newest event's id, 0 if there is none: pass it to `after` to read only later events."""
        with self._database.read() as connection:
            row = connection.execute("SELECT max(event_id) FROM events").fetchone()
            return int(row[0] or 0)


def _readable(rows: Iterable[sqlite3.Row]) -> list[Event]:
    found = []
    for row in rows:
        with suppress(UnreadableRow):
            found.append(to_event(row))
    return found
