"""The webhook's sender: what is sent, retried, given up and repeated, with a real receiver and a test's clock."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.execution.webhook import PAUSES, WebhookSender
from moonmind_appliance.models import FailureCode, LoginState, RunStatus, Shard, WaitingFor, WaitReason, failure
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.resources import utc_now
from moonmind_appliance.settings import Secret, WebhookUrl
from moonmind_appliance.webhook import WebhookClient
from tests.appliance_under_test import ApplianceUnderTest, open_appliance
from tests.shard_states import save_shard
from tests.webhook_receiver import SECRET, answer, hang, receiving

STOLEN = "ghp_neverSent0123456789abcdefghijklmnopq"


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[ApplianceUnderTest]:
    with open_appliance(tmp_path / "data", moonmind_public_url="https://moonmind.example.org") as made:
        yield made


@contextmanager
def sending(appliance: ApplianceUnderTest, url: str | None, **options: int) -> Iterator[WebhookSender]:
    """A sender without its thread, as after a start of `serve`."""
    client = None if url is None else WebhookClient(WebhookUrl(url), Secret(SECRET), time_limit=5)
    sender = WebhookSender(appliance.resources, client, **options)
    sender.begin()
    try:
        yield sender
    finally:
        sender.stop()


def cancelled(appliance: ApplianceUnderTest, **fields: Any) -> str:
    """A run that was cancelled in the queue; returns its id."""
    run = appliance.submit(**fields)
    appliance.store.runs.request_cancel(run.run_id, now=appliance.clock())
    return run.run_id


def webhook_events(appliance: ApplianceUnderTest) -> list[tuple[str, int]]:
    events = appliance.store.events.after(0, limit=10_000)
    return [(event.kind, event.data["attempt"]) for event in events if event.kind.startswith("webhook.")]


def drain(sender: WebhookSender) -> None:
    while sender.step():
        pass


def test_an_ended_run_is_sent_once(appliance: ApplianceUnderTest) -> None:
    """With links to the API, and an event that belongs to no run."""
    with receiving() as receiver, sending(appliance, receiver.url) as sender:
        run_id = cancelled(appliance, external_ref="ticket-1")
        drain(sender)
        drain(sender)
    (message,) = receiver.messages
    assert message.type == "run.cancelled"
    assert message.body["data"]["external_ref"] == "ticket-1"
    assert message.body["data"]["links"]["run"] == f"https://moonmind.example.org/api/spec-automation/runs/{run_id}"
    (event,) = [event for event in appliance.store.events.after(0) if event.kind == "webhook.delivered"]
    assert (event.run_id, event.data["run_id"], event.data["http_status"]) == (None, run_id, 204)
    assert appliance.store.webhooks.pending() == 0


def test_a_run_that_succeeded_is_sent_with_its_pull_request(tmp_path: Path, github: StandInGitHub) -> None:
    """A whole run: one message, and nothing about its phases."""
    with (
        open_appliance(tmp_path / "executed", github) as executed,
        receiving() as receiver,
        sending(executed, receiver.url) as sender,
    ):
        run = executed.run()
        drain(sender)
    (message,) = receiver.messages
    data = message.body["data"]
    assert (message.type, data["status"], data["failure"]) == ("run.succeeded", "succeeded", None)
    assert data["pull_request_url"] == run.pull_request_url is not None
    assert "Dark mode" not in str(message.body)


def test_nothing_from_before_the_webhook_is_sent(appliance: ApplianceUnderTest) -> None:
    """Not at the first start, and not after a time without WEBHOOK_URL."""
    cancelled(appliance)
    with receiving() as receiver:
        with sending(appliance, receiver.url) as sender:
            drain(sender)
            cancelled(appliance)
        with sending(appliance, None):
            cancelled(appliance)
        with sending(appliance, receiver.url) as sender:
            drain(sender)
            last = cancelled(appliance)
            drain(sender)
    assert [message.body["data"]["run_id"] for message in receiver.messages] == [last]


def test_what_happens_while_serve_is_stopped_is_sent_after_the_start(appliance: ApplianceUnderTest) -> None:
    """Another process may change a run then."""
    with receiving() as receiver:
        with sending(appliance, receiver.url):
            pass
        run_id = cancelled(appliance)
        with sending(appliance, receiver.url) as sender:
            drain(sender)
    assert [message.body["data"]["run_id"] for message in receiver.messages] == [run_id]


def test_a_message_that_was_not_recorded_as_delivered_is_sent_again_with_its_id(appliance: ApplianceUnderTest) -> None:
    """A crash after the receiver's answer: the receiver recognizes the repetition by the id."""
    with receiving() as receiver:
        with sending(appliance, receiver.url) as sender:
            cancelled(appliance)
            sender._collect()
            delivery = appliance.store.webhooks.due(appliance.clock())
            assert delivery is not None
            assert sender._client is not None
            assert sender._client.send(delivery.message_id, delivery.body).arrived
        with sending(appliance, receiver.url) as sender:
            drain(sender)
    first, second = receiver.messages
    assert (first.id, first.body) == (second.id, second.body)


def test_a_failed_attempt_is_repeated_with_growing_pauses_and_given_up_after_a_day(
    appliance: ApplianceUnderTest,
) -> None:
    """The same id and body each time; an event for each attempt."""
    with receiving(*[answer(500)] * 20) as receiver, sending(appliance, receiver.url) as sender:
        began = appliance.clock()
        cancelled(appliance)
        assert sender.step() is False
        for number, pause in enumerate(PAUSES, start=1):
            appliance.clock.advance(seconds=pause.total_seconds() * 0.8)
            assert sender.step() is False
            assert len(receiver.messages) == number
            appliance.clock.advance(seconds=pause.total_seconds() * 0.4)
            sender.step()
            assert len(receiver.messages) == number + 1
        appliance.clock.advance(days=7)
        drain(sender)
    assert len(receiver.messages) == len(PAUSES) + 1 == 8
    assert len({(message.id, str(message.body)) for message in receiver.messages}) == 1
    assert webhook_events(appliance) == [*(("webhook.failed", n) for n in range(1, 8)), ("webhook.given_up", 8)]
    assert sum(PAUSES, timedelta()) > timedelta(days=1)
    assert appliance.store.webhooks.pending() == 0
    assert appliance.clock() > began


def test_the_receivers_own_pause_is_respected(appliance: ApplianceUnderTest) -> None:
    """Up to a day; a shorter one does not shorten the schedule."""
    with receiving(answer(429, Retry_After="3600")) as receiver, sending(appliance, receiver.url) as sender:
        # The receiver's seconds count from the real time.
        appliance.clock.now = utc_now()
        cancelled(appliance)
        sender.step()
        appliance.clock.advance(minutes=50)
        assert sender.step() is False
        appliance.clock.advance(minutes=11)
        assert sender.step() is True


def test_one_message_that_fails_does_not_stop_the_others(appliance: ApplianceUnderTest) -> None:
    """They are delivered while it waits for its next attempt."""
    with receiving(answer(500)) as receiver, sending(appliance, receiver.url) as sender:
        first, second = cancelled(appliance), cancelled(appliance)
        sender.step()
        drain(sender)
        appliance.clock.advance(seconds=6)
        drain(sender)
    assert [message.body["data"]["run_id"] for message in receiver.messages] == [first, second, first]


def test_gone_ends_the_deliveries_until_the_restart(appliance: ApplianceUnderTest) -> None:
    """With an event; after the restart the refused message is the first, so a new address gets everything."""
    with receiving(answer(410)) as receiver, sending(appliance, receiver.url) as sender:
        first = cancelled(appliance)
        sender.step()
        assert sender.disabled
    second = cancelled(appliance)
    with receiving() as other, sending(appliance, other.url) as sender:
        drain(sender)
    assert [message.body["data"]["run_id"] for message in other.messages] == [first, second]
    assert webhook_events(appliance)[0] == ("webhook.disabled", 1)


def test_the_number_of_stored_messages_is_bounded(appliance: ApplianceUnderTest) -> None:
    """Later events wait in the events table, and none is lost."""
    with receiving(*[answer(500)] * 10) as receiver, sending(appliance, receiver.url, most_pending=3) as sender:
        expected = [cancelled(appliance) for _ in range(7)]
        for _ in range(5):
            sender.step()
        assert appliance.store.webhooks.pending() == 3
        receiver.behaviours.clear()
        receiver.messages.clear()
        appliance.clock.advance(minutes=1)
        drain(sender)
    assert sorted(message.body["data"]["run_id"] for message in receiver.messages) == sorted(expected)


def test_a_dead_login_and_the_runs_that_wait_for_it(appliance: ApplianceUnderTest) -> None:
    """One message each, however often the reason's sentence changes."""
    with receiving() as receiver, sending(appliance, receiver.url) as sender:
        run = appliance.submit()
        save_shard(appliance.store, Shard(shard=0, login=LoginState.DEAD), "shard.login_dead", {"why": "revoked"})
        for detail in ("shard 0: revoked", "shard 0: revoked again"):
            appliance.store.queue.wait(run.run_id, WaitingFor(WaitReason.LOGIN, None, detail))
        appliance.store.queue.wait(run.run_id, WaitingFor(WaitReason.QUOTA, appliance.clock(), "soon"))
        drain(sender)
    assert [message.type for message in receiver.messages] == ["shard.login_dead", "run.waiting"]


def test_no_secret_leaves(tmp_path: Path) -> None:
    """Texts in messages are redacted like all stored text."""
    with (
        open_appliance(tmp_path / "data") as appliance,
        receiving() as receiver,
        sending(appliance, receiver.url) as sender,
    ):
        run = appliance.submit()
        lease = appliance.take(run)
        refused = failure(FailureCode.PUSH_REJECTED, f"The remote said {STOLEN}.")
        appliance.store.progress.finish(
            run.run_id,
            lease,
            RunStatus.FAILED,
            now=appliance.clock(),
            result_summary=refused.message,
            failure=refused,
        )
        drain(sender)
    (message,) = receiver.messages
    assert message.body["data"]["failure"]["code"] == "push_rejected"
    assert STOLEN not in str(message.body)


def test_a_receiver_that_hangs_delays_no_stop(appliance: ApplianceUnderTest) -> None:
    """The interrupted attempt is not counted, and the message is sent after the next start."""
    entered = threading.Event()

    def hang_and_tell(handler: Any, closing: threading.Event) -> None:
        entered.set()
        hang(handler, closing)

    with receiving(hang_and_tell) as receiver:
        client = WebhookClient(WebhookUrl(receiver.url), Secret(SECRET), time_limit=60)
        sender = WebhookSender(appliance.resources, client)
        sender.begin()
        sender.start()
        cancelled(appliance)
        assert entered.wait(30)
        sender.stop()
        assert not sender._thread.is_alive()
        assert webhook_events(appliance) == []
        with sending(appliance, receiver.url) as again:
            drain(again)
    assert len({message.id for message in receiver.messages}) == 1
    assert webhook_events(appliance) == [("webhook.delivered", 1)]


def test_the_thread_sends_without_being_asked(appliance: ApplianceUnderTest) -> None:
    """Within about a second of the event, also if the database failed in between."""
    with receiving() as receiver:
        sender = WebhookSender(appliance.resources, WebhookClient(WebhookUrl(receiver.url), Secret(SECRET)))
        sender.begin()
        sender.start()
        run_id = cancelled(appliance)
        (message,) = receiver.wait(1)
        sender.stop()
    assert message.body["data"]["run_id"] == run_id
