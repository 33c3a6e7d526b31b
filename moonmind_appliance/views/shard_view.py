"""The shards: login, quota, the run in progress, and the runs that wait."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from moonmind_appliance.models import LoginState, QuotaWindow, ShardNames
from moonmind_appliance.settings import Settings
from moonmind_appliance.shards.health import NEARLY_USED_PERCENT, LoginHealth, health_of
from moonmind_appliance.store import Store
from moonmind_appliance.views.run_summary import RunSummary, summary_fields

NEWEST_EVENTS = 10

_HOUR, _DAY = 60, 1440
_FULL_PERCENT = 100.0


class ShardEvent(msgspec.Struct, frozen=True):
    """A decision about a shard, or a change of its login."""

    kind: str
    at: datetime
    data: dict[str, Any]


class ShardView(msgspec.Struct, frozen=True):
    """A shard: its login as last observed, its quota, and its run in progress."""

    shard: int
    queue: str
    volume: str
    login: LoginState
    login_reason: str
    account_email: str | None
    plan: str | None
    login_at: datetime | None
    checked_at: datetime | None
    access_expires_at: datetime | None
    last_refresh_at: datetime | None
    last_turn_at: datetime | None
    quota: list[QuotaWindow]
    rests_until: datetime | None
    run_id: str | None
    by_api_key: bool
    health: LoginHealth
    events: list[ShardEvent]
    paused_at: datetime | None = None


class Severity(StrEnum):
    """How much of a quota window is used: `high` from `NEARLY_USED_PERCENT` on, `full` at 100 %."""

    OK = "ok"
    HIGH = "high"
    FULL = "full"


class QuotaBar(msgspec.Struct, frozen=True):
    """A quota window as a bar: `label` is its length ("5 h", "7 d", "" where unknown), `resets_at` when it resets
    (None if unknown, or if it was reset after the appliance last observed it; then 0 % is used)."""  # noqa: D205, D209 - one sentence

    label: str
    used_percent: float
    resets_at: datetime | None
    severity: Severity


class WaitingRun(RunSummary, frozen=True):
    """A queued run, with the shard that its submitter asked for (None: any)."""

    shard_pin: int | None


def shard_views(store: Store, settings: Settings, *, now: datetime) -> list[ShardView]:
    """All shards, by number."""
    running = {run.shard: run.run_id for run in store.run_lists.in_progress()}
    views = []
    for shard in store.shards.all(settings.codex_shards):
        name = ShardNames(shard.shard, settings.codex_volume_prefix)
        events = store.events.of_shard(shard.shard, limit=NEWEST_EVENTS)
        views.append(
            ShardView(
                shard=shard.shard,
                queue=name.queue,
                volume=name.volume,
                login=shard.login,
                login_reason=shard.login_reason,
                account_email=shard.account_email,
                plan=shard.plan,
                login_at=shard.login_at,
                checked_at=shard.checked_at,
                access_expires_at=shard.access_expires_at,
                last_refresh_at=shard.last_refresh_at,
                last_turn_at=shard.last_turn_at,
                quota=shard.quota,
                rests_until=shard.cooldown_until,
                run_id=running.get(shard.shard),
                by_api_key=shard.by_api_key,
                health=health_of(shard, now=now),
                events=[ShardEvent(event.kind, event.at, event.data) for event in events],
                paused_at=shard.paused_at,
            )
        )
    return views


def quota_bars(windows: Iterable[QuotaWindow], now: datetime) -> list[QuotaBar]:
    """Each window as a bar. A window that was reset after it was last observed counts as unused."""
    return [_bar(window, now) for window in windows]


def waiting_runs(store: Store) -> list[WaitingRun]:
    """The queued runs, oldest first."""
    return [WaitingRun(**summary_fields(run), shard_pin=run.shard_pin) for run in store.run_lists.queued()]


def _bar(window: QuotaWindow, now: datetime) -> QuotaBar:
    over = window.resets_at is not None and window.resets_at <= now
    used = 0.0 if over else window.used_percent
    severity = Severity.OK
    if used >= NEARLY_USED_PERCENT:
        severity = Severity.FULL if used >= _FULL_PERCENT else Severity.HIGH
    return QuotaBar(_label(window.window_minutes), used, None if over else window.resets_at, severity)


def _label(minutes: int | None) -> str:
    if not minutes:
        return ""
    if minutes >= _DAY:
        return f"{minutes // _DAY} d"
    return f"{minutes // _HOUR} h" if minutes >= _HOUR else f"{minutes} min"
