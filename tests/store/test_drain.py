"""The fact that the appliance is drained."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from moonmind_appliance.store import Store


def test_drain_and_resume(store: Store, data_dir: Path, now: datetime) -> None:
    """Each is safe twice: the first time counts, and there is one event. It survives a restart."""
    assert store.drain.since() is None
    later = now + timedelta(hours=1)
    assert [store.drain.begin(now), store.drain.begin(later)] == [now, now]
    again = Store.open(data_dir)
    assert again.drain.since() == now
    again.close()
    for _ in range(2):
        store.drain.end(later)
        assert store.drain.since() is None
    assert [(event.kind, event.at) for event in store.events.after(0)] == [("drain.began", now), ("drain.ended", later)]
    assert store.drain.begin(later) == later


def test_a_damaged_time_is_still_a_drain(store: Store, now: datetime) -> None:
    """The row alone stops the claims; it must not prevent the start."""
    store.drain.begin(now)
    with store.database.write() as connection:
        connection.execute("UPDATE appliance SET value = 'yesterday' WHERE key = 'drained_at'")
    assert store.drain.since() == store.drain.begin(now) == datetime.fromtimestamp(0, UTC)
    store.drain.end(now)
    assert store.drain.since() is None
