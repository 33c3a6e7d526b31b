"""When the last backup was made: a fact in the table `appliance`, for the metrics."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from moonmind_appliance.errors import StoreError
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.events import record
from moonmind_appliance.store.rows import time_text

_KEY = "last_backup_at"


def record_backup(path: Path, at: datetime) -> None:
    """Record it in that database, which is not migrated.

    Raises:
        StoreError: the database cannot be written.
    """
    database = Database(path)
    try:
        with database.write() as connection:
            connection.execute(
                "INSERT INTO appliance VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (_KEY, time_text(at)),
            )
        # A database that is not migrated yet may have no column for the author.
        with suppress(StoreError), database.write() as connection:
            record(connection, "backup.made", at=at)
    finally:
        database.close()


def last_backup(database: Database) -> datetime | None:
    """When it was made (UTC); None if none was recorded, or the record cannot be read."""
    with database.read() as connection:
        row = connection.execute("SELECT value FROM appliance WHERE key = ?", (_KEY,)).fetchone()
    try:
        return None if row is None else datetime.fromisoformat(row[0])
    except ValueError:
        return None
