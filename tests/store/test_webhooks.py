"""The webhook's outbox: its position in the events, and the messages that are not delivered yet."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from moonmind_appliance.models import Run, WaitingFor, WaitReason
from moonmind_appliance.store import Store
from moonmind_appliance.store.webhooks import DELIVERIES, DELIVERY_RESULTS, Delivery, NewDelivery

TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"


def due(store: Store, now: datetime) -> Delivery:
    found = store.webhooks.due(now)
    assert found is not None
    return found


def test_the_position_begins_at_the_newest_event(store: Store) -> None:
    """Later calls return the stored one; without a position there is none to go back to."""
    store.events.add("tick")
    assert store.webhooks.begin() == 1
    store.events.add("tick")
    assert store.webhooks.begin() == 1
    store.webhooks.forget()
    assert store.webhooks.begin() == 2


def test_a_damaged_position_begins_at_the_newest_event(store: Store) -> None:
    """It must not prevent the start."""
    store.webhooks.begin()
    store.events.add("a")
    for damaged in ("nowhere", ""):
        with store.database.write() as connection:
            connection.execute("UPDATE appliance SET value = ? WHERE key = 'webhook_position'", (damaged,))
        assert store.webhooks.begin() == 1


def test_events_are_read_by_kind_and_the_position_passes_the_others(store: Store) -> None:
    """A limit stops at the last event that was read."""
    for kind in ("a", "x", "a", "b", "x"):
        store.events.add(kind)
    events, position = store.webhooks.events(("a", "b"), after=0, limit=2)
    assert ([event.kind for event in events], position) == (["a", "a"], 3)
    events, position = store.webhooks.events(("a", "b"), after=position, limit=2)
    assert ([event.kind for event in events], position) == (["b"], 5)
    assert store.webhooks.events(("a", "b"), after=position, limit=2) == ([], 5)


def test_an_unreadable_event_is_skipped(store: Store) -> None:
    """It would block all later ones."""
    store.events.add("a")
    store.events.add("a")
    with store.database.write() as connection:
        connection.execute("UPDATE events SET data = 'broken' WHERE event_id = 1")
    events, position = store.webhooks.events(("a",), after=0, limit=10)
    assert ([event.event_id for event in events], position) == ([2], 2)


def test_messages_and_position_are_stored_together(store: Store, data_dir: Path, now: datetime) -> None:
    """Another process continues there; the same event never gives two messages."""
    store.webhooks.begin()
    for _ in range(2):
        store.webhooks.add([NewDelivery("msg_1", 4, "{}")], position=4, now=now)
    store.close()
    other = Store.open(data_dir)
    assert (other.webhooks.begin(), other.webhooks.pending()) == (4, 1)
    other.close()


def test_texts_of_a_message_are_redacted(store: Store, now: datetime) -> None:
    """The stored message is what is sent."""
    store.webhooks.add([NewDelivery("msg_1", 1, json.dumps({"text": f"a {TOKEN}"}))], position=1, now=now)
    assert TOKEN not in due(store, now).body
    assert json.loads(due(store, now).body)["text"].startswith("a ")


def test_the_next_message_is_the_one_that_is_due_first(store: Store, now: datetime) -> None:
    """After a failed attempt it waits for its time; a message that was never sent does not wait for the clock."""
    add = [NewDelivery(f"msg_{number}", number, "{}") for number in (1, 2)]
    store.webhooks.add(add, position=2, now=now)
    first = due(store, now)
    assert (first.message_id, first.attempts, first.problem) == ("msg_1", 0, "")
    store.webhooks.failed(first, "status 500", due_at=now + timedelta(seconds=5), data={"attempt": 1})
    second = due(store, now - timedelta(hours=1))
    assert second.message_id == "msg_2"
    store.webhooks.delivered(second, data={"attempt": 1})
    assert store.webhooks.due(now + timedelta(seconds=4)) is None
    again = due(store, now + timedelta(seconds=5))
    assert (again.message_id, again.attempts, again.problem) == ("msg_1", 1, "status 500")
    assert store.webhooks.last_problem() == "status 500"
    store.webhooks.given_up(again, data={"attempt": 2})
    assert (store.webhooks.pending(), store.webhooks.last_problem()) == (0, "")
    kinds = [event.kind for event in store.events.after(0)]
    assert kinds == ["webhook.failed", "webhook.delivered", "webhook.given_up"]
    counters = store.counters.all()
    assert {result: counters[DELIVERIES, result] for result in DELIVERY_RESULTS} == dict.fromkeys(DELIVERY_RESULTS, 1)


def test_what_a_message_contains_of_a_run(store: Store, make_run: Callable[..., Run]) -> None:
    """Nothing of a run that does not exist."""
    run = store.runs.insert(make_run(external_ref="ticket-1", dry_run=True))
    assert store.webhooks.run_facts(run.run_id) == ("Acme/Shop", "ticket-1", True, None)
    assert store.webhooks.run_facts("none") is None


def test_the_status_before_an_event(store: Store, make_run: Callable[..., Run], now: datetime) -> None:
    """Other events of the run in between do not count."""
    run = store.runs.insert(make_run())
    store.queue.wait(run.run_id, WaitingFor(WaitReason.LOGIN, None, "one"))
    store.events.add("artifact.saved", run_id=run.run_id)
    store.queue.wait(run.run_id, WaitingFor(WaitReason.LOGIN, None, "two"))
    *_, last = store.events.after(0, run_id=run.run_id)
    before = store.webhooks.status_before(last)
    assert before is not None
    assert before.data["waiting_for"]["detail"] == "one"
    first = store.events.after(0, run_id=run.run_id)[0]
    assert store.webhooks.status_before(first) is None
