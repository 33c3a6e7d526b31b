"""Shards: current runs, waiting runs, and used quota."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from moonmind_appliance.models import LoginState, QuotaWindow, Run, Shard
from moonmind_appliance.settings import Settings
from moonmind_appliance.store import Store
from moonmind_appliance.views.shard_view import QuotaBar, Severity, quota_bars, shard_views, waiting_runs
from tests.shard_states import save_shard


def test_shards(store: Store, make_run: Callable[..., Run], now: datetime) -> None:
    """Each shard by number, with its names, its run in progress, and its own events, newest first."""
    store.runs.insert(make_run())
    run = store.queue.claim(1, "mine", now=now, lease_seconds=9)
    assert run is not None
    save_shard(store, Shard(shard=1, login=LoginState.PRESENT), event="shard.one")
    save_shard(store, Shard(shard=1, login=LoginState.PRESENT, plan="pro"), event="shard.two", data={"n": 2})
    idle, busy = shard_views(store, Settings(moonmind_data_dir=store.database.path.parent, codex_shards=2), now=now)
    assert (idle.shard, idle.login, idle.run_id, idle.events) == (0, LoginState.UNKNOWN, None, [])
    assert (busy.queue, busy.volume, busy.plan, busy.run_id) == ("codex-1", "codex_auth_1", "pro", run.run_id)
    assert [(event.kind, event.data) for event in busy.events] == [("shard.two", {"n": 2}), ("shard.one", {})]
    assert busy.health.takes_runs


def test_waiting(store: Store, make_run: Callable[..., Run], now: datetime) -> None:
    """Only queued runs, oldest first, with the requested shard."""
    first, second, third = (store.runs.insert(make_run(shard_pin=pin)).run_id for pin in (None, 2, None))
    store.queue.claim(0, "mine", now=now, lease_seconds=9)
    assert [(run.run_id, run.shard_pin) for run in waiting_runs(store)] == [(second, 2), (third, None)]
    assert first not in {run.run_id for run in waiting_runs(store)}


@pytest.mark.parametrize(
    ("minutes", "used", "label", "severity"),
    [
        (300, 0.0, "5 h", Severity.OK),
        (10080, 89.9, "7 d", Severity.OK),
        (60, 90.0, "1 h", Severity.HIGH),
        (1440, 99.9, "1 d", Severity.HIGH),
        (30, 100.0, "30 min", Severity.FULL),
        (None, 101.0, "", Severity.FULL),
    ],
)
def test_quota(now: datetime, minutes: int | None, used: float, label: str, severity: Severity) -> None:
    """The label is the length in the largest unit; from 90 % on a window is high, at 100 % full."""
    resets_at = now + timedelta(minutes=1)
    assert quota_bars([QuotaWindow(used, minutes, resets_at)], now) == [QuotaBar(label, used, resets_at, severity)]


def test_quota_that_started_again(now: datetime) -> None:
    """A window whose reset time has passed since it was observed is unused."""
    bars = quota_bars([QuotaWindow(100.0, 300, now)], now)
    assert bars == [QuotaBar("5 h", 0.0, None, Severity.OK)]
