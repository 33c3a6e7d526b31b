"""Whether an operator drained the appliance: a row of the table `appliance`, so it survives a restart."""

from datetime import UTC, datetime

from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.events import record
from moonmind_appliance.store.rows import readable_time, time_text

DRAINED_AT = "drained_at"


class DrainStore:
    """While the row exists, no shard can claim a run: `RunQueue.claim` checks it in its own transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def since(self) -> datetime | None:
        """When the appliance was drained (UTC); None if it is not."""
        with self._database.read() as connection:
            row = connection.execute("SELECT value FROM appliance WHERE key = ?", (DRAINED_AT,)).fetchone()
            return None if row is None else _time(row["value"])

    def begin(self, now: datetime) -> datetime:
        """Store the time of the drain, and return it. Idempotent: the first time counts, and there is one event."""
        with self._database.write() as connection:
            added = connection.execute(
                "INSERT INTO appliance VALUES (?, ?) ON CONFLICT (key) DO NOTHING", (DRAINED_AT, time_text(now))
            ).rowcount
            if added:
                record(connection, "drain.began", at=now)
            row = connection.execute("SELECT value FROM appliance WHERE key = ?", (DRAINED_AT,)).fetchone()
            return _time(row["value"])

    def end(self, now: datetime) -> None:
        """Remove the row. Idempotent: there is one event."""
        with self._database.write() as connection:
            row = connection.execute("SELECT value FROM appliance WHERE key = ?", (DRAINED_AT,)).fetchone()
            if row is not None:
                connection.execute("DELETE FROM appliance WHERE key = ?", (DRAINED_AT,))
                record(connection, "drain.ended", at=now, data={"drained_at": row["value"]})


def _time(stored: str) -> datetime:
    """The stored time; the earliest one if it cannot be read: the row alone says that the appliance is drained."""
    return readable_time(stored) or datetime.fromtimestamp(0, UTC)
