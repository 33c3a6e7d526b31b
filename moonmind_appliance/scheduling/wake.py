"""Which shards are woken for a queued run. A lost wake-up loses no run: the run's row remains, and it starts later."""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import LoginState, Run, Shard, WaitingFor, WaitReason
from moonmind_appliance.resources import Resources
from moonmind_appliance.scheduling.waiting import allowed, update_waiting, why_pinned_wait
from moonmind_appliance.shards.health import is_cooling_down, nearly_used
from moonmind_appliance.shards.upkeep import maintain_logins

_log = logging.getLogger(__name__)

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
# An unchecked login may be valid: its worker checks it before it claims a run.
_MAY_WORK = frozenset({LoginState.PRESENT, LoginState.UNKNOWN})


def first_to_wake(shards: Sequence[Shard], idle: Collection[int], pin: int | None, now: datetime) -> int | None:
    """The shard that is likely to start a run first.

    Prefers, in this order: signed in, not cooling down, idle, not nearly out of quota, unused for the longest time.

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
            is_cooling_down(shard, now),
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
        and not is_cooling_down(shard, now)
        and not nearly_used(shard, now)
        and shard.paused_at is None
    ]


class NewRun:
    """What a new run waits for, and its wake-up, with one look at the shards.

    Args:
        resources: what to work with.
        pin: the shard that the caller requested; None: any.
    """

    def __init__(self, resources: Resources, pin: int | None) -> None:
        self._resources = resources
        self._pin = pin
        self._shards: list[Shard] | None = None

    def why_waits(self) -> WaitingFor | None:
        """Why it cannot start now; None if it can, or if that is not known. For the transaction that stores the run.

        Raises no `StoreError`: then `wake` looks again.
        """
        try:
            shards = self._resources.store.shards.all(len(self._resources.shards))
            waits = why_pinned_wait(self._resources, shards, self._pin)
        except StoreError:
            return None
        self._shards = shards
        return waits

    def wake(self, run: Run) -> None:
        """Wake shards for the run, once it is stored. Never raises, as `wake_for`."""
        if self._shards is None:
            wake_for(self._resources, run)
        elif run.waiting_for is None or run.waiting_for.reason is not WaitReason.DRAINED:
            with _failures_logged(run):
                _wake_first(self._resources, self._shards, self._pin)


def wake_for(resources: Resources, run: Run) -> None:
    """Wake shards for a queued run. If what it waits for is not what its row says, set it at once.

    Never raises: a failure is logged, and the run starts with the next free shard.
    """
    with _failures_logged(run):
        shards = resources.store.shards.all(len(resources.shards))
        waits = why_pinned_wait(resources, shards, run.shard_pin)
        if waits != run.waiting_for:
            resources.store.queue.wait(run.run_id, waits)
        _wake_for_pin(resources, shards, run.shard_pin)


@contextmanager
def _failures_logged(run: Run) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        _log.warning("Run %s is queued, but no shard could be notified: %s", run.run_id, error)
    except Exception:  # noqa: BLE001 - the run is saved; a failed wake-up must not fail its submitter
        _log.exception("Run %s is queued, but no shard could be notified.", run.run_id)


def wake_queued(resources: Resources) -> int:
    """Wake shards for all queued runs, at the runs' retry times if they have one; returns the number of runs.

    Reads no run: runs with the same pin need the same shards.
    """
    update_waiting(resources)
    now = resources.clock()
    last = len(resources.shards) - 1
    for shard, until in resources.store.queue.retry_times(now):
        resources.wakeups.wake_at(min(shard, last), until)
    groups = resources.store.queue.groups(now)
    shards = resources.store.shards.all(len(resources.shards))
    for group in groups:
        if group.due:
            _wake_for_pin(resources, shards, group.pin)
    return sum(group.runs for group in groups)


def maintain(resources: Resources) -> None:
    """Check the logins, update why runs wait, and wake the shards that can take runs again. Runs once a minute."""
    ready = maintain_logins(resources)
    update_waiting(resources)
    if resources.store.drain.since() is not None:
        return
    for shard in ready:
        resources.wakeups.wake(shard)


def _wake_for_pin(resources: Resources, shards: Sequence[Shard], pin: int | None) -> None:
    """Wake the shards for runs with that pin, if there are any. None is woken while the appliance is drained."""
    if resources.store.drain.since() is None:
        _wake_first(resources, shards, pin)


def _wake_first(resources: Resources, shards: Sequence[Shard], pin: int | None) -> None:
    now, known_idle = resources.clock(), resources.wakeups.idle()
    if known_idle is None:
        idle = {shard.shard for shard in shards} - {run.shard for run in resources.store.run_lists.in_progress()}
    else:
        idle = set(known_idle)
    first = first_to_wake(shards, idle, pin, now)
    if first is None:
        return
    resources.wakeups.wake(first)
    # Two runs submitted at the same time see the same shard idle: wake the other idle ones, too.
    for other in others_to_wake(shards, idle - {first}, pin, now):
        resources.wakeups.wake(other)
