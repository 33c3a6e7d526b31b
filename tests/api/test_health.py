"""Probes, shards and metrics."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from moonmind_appliance.checks.finding import note, ok, wrong
from moonmind_appliance.models import LoginState, Shard
from tests.api.served import Served, serve
from tests.shard_states import save_shard

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


def test_shards_are_shown_to_operators(served: Served) -> None:
    """Operators see all shards, observed or not, with the run in progress."""
    now = datetime.now(UTC)
    save_shard(served.store, Shard(shard=0, login=LoginState.PRESENT, account_email="a@b.test", login_at=now))
    run_id = served.submit()
    served.take(run_id)
    shards = served.client("olga").get("/shards").json()["items"]
    assert [list(shard) for shard in shards] == [SHARD_FIELDS] * 3
    assert [shard["login"] for shard in shards] == ["present", "unknown", "unknown"]
    assert [shard["run_id"] for shard in shards] == [run_id, None, None]
    assert (shards[2]["queue"], shards[2]["volume"]) == ("codex-2", "codex_auth_2")


def test_metrics_count_stored_data_and_responses(served: Served) -> None:
    """Prometheus can read them; routes are counted by their template, not by the path."""
    run_id = served.submit()
    served.client().get(f"/runs/{run_id}")
    served.client().get("/no/such/address")
    answer = served.client("olga").get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["moonmind_runs", "queued"] == 1
    assert samples["moonmind_runs", "failed"] == 0
    assert samples["moonmind_shard_login", "0", "unknown"] == 1
    assert samples["moonmind_event_streams",] == 0
    assert samples["moonmind_free_disk_bytes",] > 0
    assert samples["moonmind_appliance_info", "9.9.9"] == 1
    route = "/api/spec-automation/runs/{run_id}"
    assert samples["moonmind_http_requests_total", *sorted(("GET", route, "200"))] == 1
    assert samples["moonmind_http_requests_total", *sorted(("GET", "none", "404"))] == 1
    assert samples["moonmind_http_request_seconds_count", route] == 1
    assert run_id not in answer.text


def test_probes_leave_no_line_at_info(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Frequent probes do not fill the log at INFO; at DEBUG their lines are logged, too."""
    caplog.set_level(logging.DEBUG, "moonmind_appliance.api.app")
    with serve(tmp_path) as served:
        for address in ("/health", "/ready", "/runs"):
            served.client().get(address, headers={"X-Request-ID": "probe-1"})
    lines = [record for record in caplog.records if "probe-1" in record.getMessage()]
    assert [record.levelname for record in lines] == ["DEBUG", "DEBUG", "INFO"]
