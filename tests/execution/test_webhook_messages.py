"""Which events become messages, and what the messages contain."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from moonmind_appliance.execution.webhook_messages import KINDS, head_of, message_id, message_of, sender_message
from moonmind_appliance.models import Event
from moonmind_appliance.store.webhooks import RunFacts

RUN = "10f37e97-6b37-4233-ab7c-d172c97f85dc"
APPLIANCE = "0b9c8d57-2a0a-4d3e-9f51-6a52b5d0a9f4"
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FACTS = RunFacts("acme/shop", "ticket-4711", dry_run=False, pull_request_url="https://github.example/acme/shop/pull/7")
API = "https://moonmind.example.org/api/spec-automation"


def event(kind: str, *, event_id: int = 7, run_id: str | None = RUN, shard: int | None = None, **data: Any) -> Event:
    return Event(event_id=event_id, kind=kind, at=AT, run_id=run_id, shard=shard, data=data)


def waiting(reason: str, until: str | None = None) -> Event:
    return event("run.waiting", status="queued", waiting_for={"reason": reason, "until": until, "detail": "why"})


def data_of(event: Event, *, before: Event | None = None) -> dict[str, Any]:
    body = message_of(event, FACTS, before, API)
    assert body is not None
    message: dict[str, Any] = json.loads(body)
    assert (message["type"], message["timestamp"]) == (event.kind, "2026-03-01T12:00:00Z")
    return dict(message["data"])


def test_a_failed_run() -> None:
    """Its code, who acts, the message and the next step; no specification text."""
    data = data_of(event("run.failed", status="failed", failure="push_rejected", summary="A rule forbids it."))
    assert data == {
        "run_id": RUN,
        "external_ref": "ticket-4711",
        "repository": "acme/shop",
        "dry_run": False,
        "status": "failed",
        "pull_request_url": "https://github.example/acme/shop/pull/7",
        "failure": {
            "code": "push_rejected",
            "who_acts": "github_admin",
            "message": "A rule forbids it.",
            "next_step": data["failure"]["next_step"],
            "retry_at": None,
        },
        "waiting_for": None,
        "links": {"run": f"{API}/runs/{RUN}", "events": f"{API}/runs/{RUN}/events"},
    }
    assert data["failure"]["next_step"]


@pytest.mark.parametrize("status", ["succeeded", "no_changes", "cancelled"])
def test_a_run_that_ended(status: str) -> None:
    """With its status, and without a failure."""
    data = data_of(event(f"run.{status}", status=status, summary="Done."))
    assert (data["status"], data["failure"], data["waiting_for"]) == (status, None, None)


def test_a_run_that_waits_for_a_person() -> None:
    """The reason, a sentence and who acts."""
    assert data_of(waiting("login"))["waiting_for"] == {"reason": "login", "detail": "why", "who_acts": "operator"}


def test_a_wait_that_ends_by_itself_is_not_reported() -> None:
    """It has a time; a run that is claimed or only waits for its turn is not reported either."""
    assert message_of(waiting("quota", "2026-03-01T13:00:00Z"), FACTS, None, API) is None
    assert "run.ready" not in KINDS
    assert "run.claimed" not in KINDS


@pytest.mark.parametrize(
    ("before", "reported"),
    [
        (None, True),
        (waiting("login"), False),
        (waiting("shard_busy"), True),
        (waiting("login", "2026-03-01T13:00:00Z"), True),
        (event("run.claimed", status="in_progress"), True),
        (event("run.ready", status="queued", waiting_for=None), True),
    ],
)
def test_one_wait_is_reported_once(before: Event | None, *, reported: bool) -> None:
    """Only the sentence about the reason changed: no second message."""
    assert (message_of(waiting("login"), FACTS, before, API) is not None) is reported


def test_a_dead_login() -> None:
    """The shard, why, and who acts."""
    dead = event(
        "shard.login_dead", run_id=None, shard=2, fault="refresh_refused", why="It was revoked.", was="present"
    )
    assert data_of(dead) == {
        "shard": 2,
        "login": "dead",
        "fault": "refresh_refused",
        "reason": "It was revoked.",
        "who_acts": "operator",
        "links": {"shards": f"{API}/shards"},
    }


def test_a_removed_run_is_not_reported() -> None:
    """Nothing is known about it any more."""
    assert message_of(event("run.failed", status="failed"), None, None, API) is None


def test_long_texts_are_cut() -> None:
    """The specification of the format recommends less than 20 kB."""
    body = message_of(
        event("run.failed", status="failed", failure="push_rejected", summary="x" * 60_000), FACTS, None, API
    )
    assert body is not None
    assert len(body) < 20_000


def test_data_of_another_shape_is_an_error_that_the_sender_expects() -> None:
    """Such an event is skipped, and does not stop the others."""
    for strange in (event("run.failed"), event("run.failed", status="failed", failure="no_such_code")):
        with pytest.raises((KeyError, ValueError)):
            message_of(strange, FACTS, None, API)


def test_the_id_is_the_events_own() -> None:
    """Equal after a restart; different for another event, another appliance, and a restored database's same number."""
    first = event("run.failed")
    assert message_id(APPLIANCE, first) == message_id(APPLIANCE, event("run.failed", status="failed"))
    others = [
        message_id(APPLIANCE, event("run.failed", event_id=8)),
        message_id(RUN, first),
        message_id(APPLIANCE, Event(event_id=7, kind="run.failed", at=AT + timedelta(seconds=1), run_id=RUN)),
    ]
    assert len({message_id(APPLIANCE, first), *others}) == 4
    assert "." not in message_id(APPLIANCE, first)


def test_the_head_of_a_message() -> None:
    """What the appliance's own events say about a message."""
    assert head_of(message_of(event("run.failed", status="failed"), FACTS, None, API) or "") == (
        "run.failed",
        RUN,
        None,
    )
    dead = event("shard.login_dead", run_id=None, shard=0)
    assert head_of(message_of(dead, None, None, API) or "") == ("shard.login_dead", None, 0)
    assert head_of(sender_message("1.0", AT)) == ("appliance.test", None, None)
    assert head_of("damaged") == head_of('{"data": {"run_id": 7}}') == ("", None, None)
