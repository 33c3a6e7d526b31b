"""The webhook's outbox: messages that are not delivered yet, and how far the events were read.

The events table is written in the transaction of each change. The webhook reads it from a position that is stored with
the messages made from it, in one transaction, so a crash neither loses a message nor makes two of one event.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from moonmind_appliance.errors import UnreadableRow
from moonmind_appliance.models import Event
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.counters import count
from moonmind_appliance.store.events import record
from moonmind_appliance.store.redacting import JsonText
from moonmind_appliance.store.rows import time_text, to_event

DELIVERIES = "webhook_deliveries"
"""The counter of attempts; its label is one of `DELIVERY_RESULTS`. The last attempt of a message is `given_up`."""

DELIVERY_RESULTS = ("delivered", "failed", "given_up")

_REMOVED_KINDS = {"delivered": "webhook.delivered", "given_up": "webhook.given_up"}
_POSITION = "webhook_position"
# What changes whether a run waits, and for what.
_STATUS_EVENTS = "('run.queued', 'run.claimed', 'run.waiting', 'run.ready', 'run.requeued', 'run.retried')"


class NewDelivery(NamedTuple):
    """A message to deliver. `body` is JSON; its texts are redacted when it is stored."""

    message_id: str
    event_id: int
    body: str


class Delivery(NamedTuple):
    """A message that is not delivered yet. `problem` is why the last attempt failed, "" before the first."""

    message_id: str
    event_id: int
    body: str
    attempts: int
    due_at: datetime
    problem: str


class RunFacts(NamedTuple):
    """What a message contains of a run's row."""

    repository: str
    external_ref: str | None
    dry_run: bool
    pull_request_url: str | None


class WebhookStore:
    """One sender uses it at a time: the process that has the data folder's lock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self) -> int:
        """The position in the events. The first call sets it to the newest event: earlier ones are not reported."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO appliance SELECT ?, coalesce(max(event_id), 0) FROM events", (_POSITION,)
            )
            # A damaged position is replaced: it must not prevent the start.
            connection.execute(
                "UPDATE appliance SET value = (SELECT coalesce(max(event_id), 0) FROM events) "
                "WHERE key = ? AND (value GLOB '*[^0-9]*' OR value = '')",
                (_POSITION,),
            )
            row = connection.execute("SELECT value FROM appliance WHERE key = ?", (_POSITION,)).fetchone()
            return int(row["value"])

    def forget(self) -> int:
        """Remove the position and all messages; returns their number. Idempotent."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM appliance WHERE key = ?", (_POSITION,))
            return connection.execute("DELETE FROM webhook_deliveries").rowcount

    def events(self, kinds: Collection[str], *, after: int, limit: int) -> tuple[list[Event], int]:
        """The next events of these kinds, at most `limit`, and the position after them. Unreadable ones are skipped."""
        marks = ", ".join("?" * len(kinds))
        with self._database.read() as connection:
            newest = connection.execute("SELECT coalesce(max(event_id), 0) FROM events").fetchone()[0]
            rows = connection.execute(
                f"SELECT * FROM events WHERE event_id > ? AND kind IN ({marks}) "  # noqa: S608 - question marks
                "ORDER BY event_id LIMIT ?",
                (after, *kinds, limit),
            ).fetchall()
        found = []
        for row in rows:
            with suppress(UnreadableRow):
                found.append(to_event(row))
        return found, rows[-1]["event_id"] if len(rows) == limit else max(after, newest)

    def run_facts(self, run_id: str) -> RunFacts | None:
        """What a message contains of that run; None if the run was removed."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT repository, external_ref, dry_run, pull_request_url FROM runs WHERE run_id = ?", (run_id,)
            ).fetchone()
        return None if row is None else RunFacts(row[0], row[1], bool(row[2]), row[3])

    def status_before(self, event: Event) -> Event | None:
        """The previous event that changed whether the run waits; None if there is none or it cannot be read."""
        with self._database.read() as connection:
            row = connection.execute(
                f"SELECT * FROM events WHERE run_id = ? AND event_id < ? AND kind IN {_STATUS_EVENTS} "  # noqa: S608
                "ORDER BY event_id DESC LIMIT 1",
                (event.run_id, event.event_id),
            ).fetchone()
        with suppress(UnreadableRow):
            return None if row is None else to_event(row)
        return None

    def add(self, deliveries: Iterable[NewDelivery], *, position: int, now: datetime) -> None:
        """Store messages that are due now, and the position after their events."""
        with self._database.write() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO webhook_deliveries (message_id, event_id, body, due_at) VALUES (?, ?, ?, ?)",
                [(new.message_id, new.event_id, JsonText(new.body), time_text(now)) for new in deliveries],
            )
            connection.execute("UPDATE appliance SET value = ? WHERE key = ?", (str(position), _POSITION))

    def due(self, now: datetime) -> Delivery | None:
        """The message to send next; None if none is due. A message that was never sent is always due."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT * FROM webhook_deliveries WHERE attempts = 0 OR due_at <= ? ORDER BY due_at, event_id LIMIT 1",
                (time_text(now),),
            ).fetchone()
        return None if row is None else Delivery(**{**dict(row), "due_at": datetime.fromisoformat(row["due_at"])})

    def pending(self) -> int:
        """The number of messages that are not delivered yet."""
        with self._database.read() as connection:
            return int(connection.execute("SELECT count(*) FROM webhook_deliveries").fetchone()[0])

    def last_problem(self) -> str:
        """Why the newest message of those that failed before was not delivered; "" if none failed."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT problem FROM webhook_deliveries WHERE attempts > 0 ORDER BY event_id DESC LIMIT 1"
            ).fetchone()
        return "" if row is None else str(row["problem"])

    def delivered(self, delivery: Delivery, *, data: Mapping[str, object]) -> None:
        """Remove a message that arrived, with an event."""
        self._remove(delivery, "delivered", data)

    def given_up(self, delivery: Delivery, *, data: Mapping[str, object]) -> None:
        """Remove a message after its last attempt, with an event."""
        self._remove(delivery, "given_up", data)

    def failed(self, delivery: Delivery, problem: str, *, due_at: datetime, data: Mapping[str, object]) -> None:
        """Count an attempt that failed, and set the time of the next one, with an event."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE webhook_deliveries SET attempts = attempts + 1, due_at = ?, problem = ? WHERE message_id = ?",
                (time_text(due_at), problem, delivery.message_id),
            )
            record(connection, "webhook.failed", data={**data, "next": due_at})
            count(connection, DELIVERIES, "failed")

    def disabled(self, *, data: Mapping[str, object]) -> None:
        """Write the event that the receiver wants no more messages."""
        with self._database.write() as connection:
            record(connection, "webhook.disabled", data=data)

    def _remove(self, delivery: Delivery, result: str, data: Mapping[str, object]) -> None:
        with self._database.write() as connection:
            connection.execute("DELETE FROM webhook_deliveries WHERE message_id = ?", (delivery.message_id,))
            record(connection, _REMOVED_KINDS[result], data=data)
            count(connection, DELIVERIES, result)
