"""The time of the last backup is kept in the database."""

from datetime import datetime, timedelta

from moonmind_appliance.store import Store
from moonmind_appliance.store.last_backup import last_backup, record_backup


def test_the_latest_one_is_kept(store: Store, now: datetime) -> None:
    """Written by another process than the one that reads it."""
    assert last_backup(store.database) is None
    for at in (now - timedelta(days=1), now):
        record_backup(store.database.path, at)
    assert last_backup(store.database) == now


def test_a_record_that_cannot_be_read_is_none(store: Store, now: datetime) -> None:
    """It must not prevent a scrape."""
    record_backup(store.database.path, now)
    with store.database.write() as connection:
        connection.execute("UPDATE appliance SET value = 'yesterday' WHERE key = 'last_backup_at'")
    assert last_backup(store.database) is None
