"""Which shard hears of a queued run first. The row is the truth: a ring that fails only makes the run start later."""

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from moonmind_appliance.dispatch import Doorbell, Workers
from moonmind_appliance.models import LoginState, Run, Shard
from moonmind_appliance.runs.readiness import allowed, why_wait
from moonmind_appliance.settings import Settings
from moonmind_appliance.shards.health import nearly_used, rests
from moonmind_appliance.store import Store

_log = logging.getLogger(__name__)

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
# A login that nobody has looked at yet may be there: its worker looks before it claims.
_MAY_WORK = frozenset({LoginState.PRESENT, LoginState.UNKNOWN})


def first_to_ring(shards: Sequence[Shard], idle: Collection[int], pin: int | None, now: datetime) -> int | None:
    """The shard to ring.

    Logged in before logged out, rested before resting, idle before busy, with quota before nearly without, longest
    unused first.

    Args:
        shards: all of them.
        idle: the numbers of those that have nothing in hand.
        pin: where the caller wants the run, None: anywhere.
        now: the time against which a rest is judged.

    Returns:
        the shard's number; None when the pin names a shard that does not exist any more, or all are paused.
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


def others_to_ring(shards: Sequence[Shard], idle: Collection[int], pin: int | None, now: datetime) -> list[int]:
    """The idle shards beside the first that could take a run as well as it."""
    return [
        shard.shard
        for shard in allowed(shards, pin)
        if shard.shard in idle
        and shard.login is LoginState.PRESENT
        and not rests(shard, now)
        and not nearly_used(shard, now)
        and shard.paused_at is None
    ]


def ring(store: Store, doorbell: Doorbell, settings: Settings, run: Run, *, now: datetime) -> None:
    """Tell one shard of a queued run; where none can take it, the run says at once what it waits for.

    Never raises: a failure is a log line, and the run starts with the next free shard.
    """
    try:
        shards = store.shards.all(settings.codex_shards)
        if waits := why_wait(allowed(shards, run.shard_pin), now):
            store.runs.wait(run.run_id, waits)
        if isinstance(doorbell, Workers):
            idle = set(doorbell.idle())
        else:
            idle = {shard.shard for shard in shards} - {other.shard for other in store.runs.in_progress()}
        shard = first_to_ring(shards, idle, run.shard_pin, now)
        if shard is None:
            _log.warning("Run %s waits: no shard that it may use exists and is not paused.", run.run_id)
            return
        doorbell.ring(shard, run.run_id)
        # Two runs that come in the same moment find the same shard idle: whoever is free looks, too.
        for other in others_to_ring(shards, idle - {shard}, run.shard_pin, now):
            doorbell.ring(other, run.run_id)
    except Exception:  # noqa: BLE001 - the run is kept; whatever went wrong here must not fail its submitter
        _log.exception("Run %s is queued, but no shard could be rung.", run.run_id)
