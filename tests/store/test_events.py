"""Events come back in the order in which they were written."""

from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from moonmind_appliance.models import Author, Interface, WaitingFor, WaitReason, set_author
from moonmind_appliance.store import Store
from moonmind_appliance.store.events import AUTHORED, OF_SHARD
from tests.store_cost import counted


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


OLGA = Author("local:olga", "olga", Interface.API, "192.0.2.1")


def as_olga(work: Callable[[], object]) -> None:
    """Do that as this caller, in its own context."""

    def act() -> None:
        set_author(OLGA)
        work()

    copy_context().run(act)


def test_a_change_that_somebody_requests_has_an_author(store: Store) -> None:
    """They are listed newest first, as complete events. Consequences and automatic events have no author."""
    as_olga(lambda: store.events.add("shard.paused", shard=1))
    as_olga(lambda: store.events.add("run.waiting", run_id="one"))
    store.events.add("shard.resumed", shard=1)
    as_olga(lambda: store.events.add("token.created", data={"name": "ci"}))
    found = store.events.authored(limit=10)
    assert [(event.kind, event.shard, event.data, author) for event, author in found] == [
        ("token.created", None, {"name": "ci"}, OLGA),
        ("shard.paused", 1, {}, OLGA),
    ]
    assert store.events.authored(limit=1) == found[:1]
    assert store.events.authored(limit=10, since=datetime.now(UTC) + timedelta(hours=1)) == []


def test_authors_are_found_by_an_index(store: Store) -> None:
    """A million events without an author must not make it slower."""
    with store.database.read() as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {AUTHORED}", ("", 20))]
    assert plan == ["SCAN events USING INDEX events_of_authors"]


@pytest.mark.parametrize("damaged", ["no JSON", "{}", '{"subject":1}'])
def test_an_author_that_cannot_be_read_hides_no_other(store: Store, damaged: str) -> None:
    """An event with a damaged author is omitted."""
    for kind in ("drain.began", "drain.ended"):
        as_olga(partial(store.events.add, kind))
    with store.database.write() as connection:
        connection.execute("UPDATE events SET author = ? WHERE kind = 'drain.began'", (damaged,))
    assert [event.kind for event, _ in store.events.authored(limit=10)] == ["drain.ended"]


def test_an_author_costs_no_statement(store: Store) -> None:
    """The author is a column of the event."""
    with counted(store) as without:
        store.events.add("run.queued", run_id="one")
    costs = []

    def act() -> None:
        with counted(store) as cost:
            store.events.add("run.queued", run_id="two")
        costs.append(cost.statements)

    as_olga(act)
    assert costs == [without.statements]
