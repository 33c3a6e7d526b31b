"""Probes, shards and metrics."""

from moonmind_appliance.checks.finding import note, ok, wrong
from tests.api.served import Served

SHARD_FIELDS = [
    "shard",
    "queue",
    "volume",
    "login",
    "login_reason",
    "account_email",
    "plan",
    "login_at",
    "checked_at",
    "access_expires_at",
    "last_refresh_at",
    "last_turn_at",
    "quota",
    "rests_until",
    "run_id",
    "by_api_key",
    "health",
    "events",
    "paused_at",
]


def test_alive_needs_neither_token_nor_database(served: Served) -> None:
    """A process with a broken database is alive."""
    served.store.close()
    answer = served.client(None).get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": "9.9.9"})


def test_ready_lists_its_checks(served: Served) -> None:
    """200 if all checks pass. Passed checks have no details, as callers need no token."""
    served.checks.update(engine=ok("Docker engine", "28.1"), disk=note("disk", "12 GiB free"))
    answer = served.client(None).get("/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "checks": [
            {"name": "engine", "ok": True, "message": ""},
            {"name": "disk", "ok": True, "message": ""},
        ],
    }


def test_not_ready_has_the_reasons(served: Served) -> None:
    """503 with the failed checks, and a time to retry."""
    served.checks.update(
        engine=wrong("Docker engine", "Docker does not answer.", "Start it."), disk=ok("disk", "12 GiB")
    )
    answer = served.client(None).get("/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert answer.json()["errors"] == [{"field": "engine", "message": "Docker does not answer. Start it."}]
    assert int(answer.headers["retry-after"]) > 0


def test_a_stopping_appliance_is_alive_but_not_ready(served: Served) -> None:
    """A load balancer then sends no new requests while open ones end."""
    served.parts.resources.stopping.set()
    assert served.client(None).get("/health").status_code == 200
    answer = served.client(None).get("/ready")
    assert [error["field"] for error in answer.json()["errors"]] == ["stopping"]
