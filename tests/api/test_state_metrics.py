"""What the metrics say of runs, shards, disk and process; and what a scrape costs."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from prometheus_client.core import CollectorRegistry

from moonmind_appliance.api.parts import ApiParts, ProcessState
from moonmind_appliance.api.state_metrics import StateMetrics
from moonmind_appliance.checks import Finding, Level
from moonmind_appliance.models import FailureCode, LoginState, RunStatus, WaitingFor, WaitReason, failure
from moonmind_appliance.store.last_backup import record_backup
from moonmind_appliance.store.shards import ShardChange
from moonmind_appliance.store.webhooks import DELIVERY_RESULTS, NewDelivery
from tests.api.served import LEASE, Served
from tests.store_cost import counted

Read = Callable[..., float | None]


@pytest.fixture
def parts(served: Served) -> ApiParts:
    checks = {"engine": Finding("Docker engine", Level.WRONG, "No answer."), "disk": Finding("disk", Level.OK, "")}
    process = ProcessState(checks=lambda: checks, threads=lambda: {"clock": False}, jobs=lambda: {"retention": 17.5})
    return replace(served.parts, process=process)


@pytest.fixture
def read(parts: ApiParts) -> Read:
    """The value of a sample, by its name and labels; None if there is none."""
    registry = CollectorRegistry()
    registry.register(StateMetrics(parts, lambda: 3))

    def read(name: str, /, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    return read


def change(served: Served, shard: int, **fields: object) -> None:
    served.store.shards.change(shard, lambda known: ShardChange(msgspec.structs.replace(known, **fields)))


def test_runs_and_what_they_wait_for(served: Served, read: Read) -> None:
    """Every status and every reason has a value, so that alerts can compare it."""
    first, second = served.submit(), served.submit()
    served.take(first)
    served.store.queue.wait(second, WaitingFor(WaitReason.LOGIN))
    assert [read("moonmind_runs", status=it) for it in ("queued", "in_progress", "failed")] == [1, 1, 0]
    assert [read("moonmind_waiting_runs", reason=it) for it in ("turn", *WaitReason)] == [
        it == "login" for it in ("turn", *WaitReason)
    ]
    assert read("moonmind_oldest_waiting_run_seconds", reason="turn") == 0
    assert (read("moonmind_oldest_waiting_run_seconds", reason="login") or 0) > 0
    assert (read("moonmind_oldest_queued_run_seconds") or 0) > 0
    assert [read("moonmind_shard_busy", shard=it) for it in ("0", "1", "2")] == [1, 0, 0]


def test_ends_and_failures(served: Served, read: Read) -> None:
    """Every code has a value from the start: `increase` needs the 0 before the first failure."""
    assert [read("moonmind_run_failures_total", code=code.value) for code in FailureCode] == [0] * len(FailureCode)
    run_id = served.submit()
    run = served.take(run_id)
    what = failure(FailureCode.AGENT_SILENT, "No output.")
    assert run.started_at is not None
    served.store.progress.finish(run_id, LEASE, RunStatus.FAILED, now=run.started_at, result_summary=None, failure=what)
    assert read("moonmind_runs_ended_total", status="failed") == 1
    assert read("moonmind_runs_ended_total", status="succeeded") == 0
    assert read("moonmind_run_failures_total", code="agent_silent") == 1
    assert read("moonmind_phase_duration_seconds_bucket", phase="git_clone", le="+Inf") == 0


def test_shards(served: Served, read: Read) -> None:
    """The state of the login, a pause, and the rest of a quota cooldown."""
    now = served.parts.resources.clock()
    change(served, 0, login=LoginState.DEAD)
    change(served, 1, login=LoginState.PRESENT, cooldown_until=now + timedelta(hours=1))
    change(served, 2, paused_at=now, cooldown_until=now - timedelta(hours=1))
    assert read("moonmind_shard_login", shard="0", login="dead") == 1
    assert read("moonmind_shard_login", shard="0", login="present") == 0
    assert 3590 < (read("moonmind_shard_cooldown_seconds", shard="1") or 0) <= 3600
    assert read("moonmind_shard_cooldown_seconds", shard="2") == 0
    assert [read("moonmind_shard_paused", shard=it) for it in ("0", "2")] == [0, 1]


def test_the_webhook(served: Served, read: Read) -> None:
    """Attempts by result, from the first scrape, and the messages that are not delivered yet."""
    webhooks, now = served.store.webhooks, served.parts.resources.clock()
    assert [read("moonmind_webhook_deliveries_total", result=it) for it in DELIVERY_RESULTS] == [0, 0, 0]
    webhooks.add([NewDelivery("msg_1", 1, "{}"), NewDelivery("msg_2", 2, "{}")], position=2, now=now)
    delivery = webhooks.due(now)
    assert delivery is not None
    webhooks.delivered(delivery, data={})
    assert [read("moonmind_webhook_deliveries_total", result=it) for it in DELIVERY_RESULTS] == [1, 0, 0]
    assert read("moonmind_webhook_pending") == 1


def test_disk_and_process(served: Served, parts: ApiParts, read: Read) -> None:
    """The limit is a metric, so that an alert need not repeat it."""
    settings = parts.resources.settings
    assert read("moonmind_min_free_disk_bytes") == settings.min_free_disk
    assert 0 < (read("moonmind_free_disk_bytes") or 0) < (read("moonmind_disk_size_bytes") or 0)
    assert (read("moonmind_database_size_bytes") or 0) >= served.store.database.path.stat().st_size
    assert [read("moonmind_check_ok", check=it) for it in ("engine", "disk")] == [0, 1]
    assert read("moonmind_thread_alive", thread="clock") == 0
    assert read("moonmind_periodic_job_last_success_timestamp_seconds", name="retention") == 17.5
    assert read("moonmind_event_streams") == 3
    assert read("moonmind_last_backup_timestamp_seconds") == 0
    made = parts.resources.clock()
    record_backup(served.store.database.path, made)
    assert read("moonmind_last_backup_timestamp_seconds") == pytest.approx(made.timestamp())
    assert read("moonmind_stopping") == 0
    parts.resources.stopping.set()
    assert read("moonmind_stopping") == 1


def test_a_scrape_costs_the_same_with_more_runs(served: Served, parts: ApiParts) -> None:
    """Statements and rows do not grow with the number of runs."""
    collector = StateMetrics(parts, lambda: 0)
    costs = []
    for _ in range(2):
        for _ in range(10):
            served.submit()
        with counted(served.store) as cost:
            list(collector.collect())
        costs.append((cost.statements, cost.rows))
    assert costs[0] == costs[1]
    assert costs[0][0] <= 24
