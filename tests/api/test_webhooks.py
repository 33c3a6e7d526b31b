"""The webhook's messages in the OpenAPI document."""

import json
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest

from moonmind_appliance.execution.webhook_messages import message_of, sender_message
from moonmind_appliance.models import RUN_MESSAGES, SHARD_MESSAGES, TEST_MESSAGES, Event
from moonmind_appliance.store.webhooks import RunFacts
from tests.api.served import Served

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FACTS = RunFacts("acme/shop", None, dry_run=False, pull_request_url=None)


@pytest.fixture(scope="module")
def document(shared: Served) -> dict[str, Any]:
    found: dict[str, Any] = shared.client(None).get("/schema/openapi.json").json()
    return found


def bodies() -> dict[str, str]:
    """A message of each type, as it is sent."""
    data = {
        "run.failed": {"status": "failed", "failure": "push_rejected", "summary": "No."},
        "run.waiting": {"status": "queued", "waiting_for": {"reason": "login", "until": None, "detail": "x"}},
    }
    found = {}
    for kind in RUN_MESSAGES:
        event = Event(event_id=1, kind=kind, at=AT, run_id="r", data=data.get(kind, {"status": kind.partition(".")[2]}))
        found[kind] = message_of(event, FACTS, None, "https://h/api")
    for kind in SHARD_MESSAGES:
        event = Event(event_id=1, kind=kind, at=AT, shard=0, data={"fault": "unauthorized", "why": "x"})
        found[kind] = message_of(event, None, None, "https://h/api")
    found |= {kind: sender_message("1.0", AT) for kind in TEST_MESSAGES}
    return {kind: body for kind, body in found.items() if body is not None}


def test_every_type_is_described(document: dict[str, Any]) -> None:
    """With a summary, a description, the three headers, and what a receiver's answers mean."""
    assert set(document["webhooks"]) == set(bodies()) == {*RUN_MESSAGES, *SHARD_MESSAGES, *TEST_MESSAGES}
    for item in document["webhooks"].values():
        assert item["post"]["summary"]
        assert item["post"]["description"]
        assert {parameter["name"] for parameter in item["post"]["parameters"]} == {
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
        }
        assert set(item["post"]["responses"]) == {"2XX", "410", "default"}


@pytest.mark.parametrize("kind", [*RUN_MESSAGES, *SHARD_MESSAGES, *TEST_MESSAGES])
def test_each_message_matches_its_schema(document: dict[str, Any], kind: str) -> None:
    """And a message of another type does not."""
    schema = document["webhooks"][kind]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
    validator.validate(json.loads(bodies()[kind]))
    assert not validator.is_valid(json.loads(bodies()[kind]) | {"type": "other"})
    assert not validator.is_valid({"type": kind, "timestamp": "2026-03-01T12:00:00Z", "data": {}})
