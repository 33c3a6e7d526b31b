"""Events come back in the order in which they were written."""

from datetime import UTC, datetime

import pytest

from moonmind_appliance.models import WaitingFor, WaitReason
from moonmind_appliance.store import Store
from moonmind_appliance.store.events import OF_SHARD


def test_order_and_cursor(store: Store) -> None:
    """Reading continues after the last seen id, oldest first, up to the limit."""
    for i in range(5):
        store.events.add("tick", data={"i": i})
    first = store.events.after(0, limit=3)
    rest = store.events.after(first[-1].event_id, limit=3)
    assert [event.data["i"] for event in first + rest] == [0, 1, 2, 3, 4]
    assert store.events.after(rest[-1].event_id) == []
    assert store.events.latest() == rest[-1].event_id


def test_of_one_run(store: Store) -> None:
    """A run's reader sees that run's events only."""
    store.events.add("a", run_id="one")
    store.events.add("b", run_id="two", shard=2)
    store.events.add("c", shard=1)
    assert [event.kind for event in store.events.after(0, run_id="one")] == ["a"]
    assert [(event.kind, event.run_id, event.shard) for event in store.events.after(0)] == [
        ("a", "one", None),
        ("b", "two", 2),
        ("c", None, 1),
    ]


def test_of_some_kinds(store: Store) -> None:
    """All of a run's events of these kinds, oldest first."""
    for kind in ("a", "b", "c", "a"):
        store.events.add(kind, run_id="one")
    store.events.add("a", run_id="two")
    assert [event.kind for event in store.events.of_kinds("one", ("c", "a"))] == ["a", "c", "a"]
    assert store.events.of_kinds("three", ("a",)) == []


def test_none_yet(store: Store) -> None:
    """Without any event the last id is 0."""
    assert store.events.latest() == 0


def test_structs_and_times_in_data(store: Store) -> None:
    """An event's data may contain structs and times; they are read in their JSON form."""
    until = datetime(2026, 3, 1, tzinfo=UTC)
    store.events.add("x", data={"why": WaitingFor(WaitReason.QUOTA, until)})
    assert store.events.after(0)[0].data == {"why": {"reason": "quota", "until": "2026-03-01T00:00:00Z", "detail": ""}}


def test_a_shards_events_are_found_by_an_index(store: Store) -> None:
    """Every view of the shards reads them; a million events of runs must not matter."""
    with store.database.read() as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {OF_SHARD}", (1, 20))]
    assert plan == ["SEARCH events USING INDEX events_of_shard (shard=?)"]


@pytest.mark.parametrize(("column", "value"), [("data", "no JSON"), ("data", "[" * 3000), ("at", "no time")])
def test_an_event_that_cannot_be_read_hides_no_other(store: Store, column: str, value: str) -> None:
    """It is omitted from every list; else one damaged row would hide all shards."""
    for kind in ("a", "b", "c"):
        store.events.add(kind, run_id="one")
        store.events.add(kind, shard=1)
    with store.database.write() as connection:
        connection.execute(f"UPDATE events SET {column} = ? WHERE kind = 'b'", (value,))  # noqa: S608 - fixed names
    assert [event.kind for event in store.events.after(0)] == ["a", "a", "c", "c"]
    assert [event.kind for event in store.events.of_kinds("one", ["a", "b", "c"])] == ["a", "c"]
    assert [event.kind for event in store.events.of_shard(1)] == ["c", "a"]
