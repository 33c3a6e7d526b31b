"""Which shards are woken for a queued run. The run's row decides: without a wake-up the run only starts later."""

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from moonmind_appliance.models import LoginState, Run, Shard
from moonmind_appliance.resources import Resources
from moonmind_appliance.scheduling.readiness import allowed, why_wait
from moonmind_appliance.shards.health import nearly_used, rests

_log = logging.getLogger(__name__)

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
# An unchecked login may be valid: its worker checks it before it claims a run.
_MAY_WORK = frozenset({LoginState.PRESENT, LoginState.UNKNOWN})


def first_to_wake(shards: Sequence[Shard], idle: Collection[int], pin: int | None, now: datetime) -> int | None:
    """The shard that is likely to start a run first.

    Signed in before signed out, not cooling down before cooling down, idle before busy, with quota before nearly
    without, longest unused first.

    Args:
        shards: all of them.
        idle: the numbers of those that execute no run.
        pin: the shard that the caller requested; None: any.
        now: the time to compare a cooldown with.

    Returns:
        the shard's number; None if the pinned shard no longer exists, or all are paused.
    """

    def order(shard: Shard) -> tuple[bool, bool, bool, bool, bool, datetime, int]:
        return (
            shard.login not in _MAY_WORK,
            rests(shard, now),
            shard.shard not in idle,
            nearly_used(shard, now),
            shard.login is not LoginState.PRESENT,
            shard.last_turn_at or _LONG_AGO,
            shard.shard,
        )

    may_use = [shard for shard in allowed(shards, pin) if shard.paused_at is None]
    return min(may_use, key=order).shard if may_use else None


def others_to_wake(shards: Sequence[Shard], idle: Collection[int], pin: int | None, now: datetime) -> list[int]:
    """All idle shards that could take the run now."""
    return [
        shard.shard
        for shard in allowed(shards, pin)
        if shard.shard in idle
        and shard.login is LoginState.PRESENT
        and not rests(shard, now)
        and not nearly_used(shard, now)
        and shard.paused_at is None
    ]


def wake_for(resources: Resources, run: Run) -> None:
    """Wake shards for a queued run. If none can take it, set at once what the run waits for.

    Never raises: a failure is logged, and the run starts with the next free shard.
    """
    store, wakeups, now = resources.store, resources.wakeups, resources.clock()
    try:
        shards = store.shards.all(len(resources.shards))
        if waits := why_wait(allowed(shards, run.shard_pin), now):
            store.queue.wait(run.run_id, waits)
        known_idle = wakeups.idle()
        if known_idle is None:
            idle = {shard.shard for shard in shards} - {other.shard for other in store.run_lists.in_progress()}
        else:
            idle = set(known_idle)
        shard = first_to_wake(shards, idle, run.shard_pin, now)
        if shard is None:
            _log.warning("Run %s waits: every shard that it may use is paused or does not exist.", run.run_id)
            return
        wakeups.wake(shard)
        # Two runs submitted at the same time see the same shard idle: wake the other idle ones, too.
        for other in others_to_wake(shards, idle - {shard}, run.shard_pin, now):
            wakeups.wake(other)
    except Exception:  # noqa: BLE001 - the run is saved; a failed wake-up must not fail its submitter
        _log.exception("Run %s is queued, but no shard could be notified.", run.run_id)
