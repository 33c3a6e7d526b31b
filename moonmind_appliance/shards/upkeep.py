"""Keeps the shards' logins up to date: detects new, lost and expired ones, and renews those that expire soon."""

import logging
from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec

from moonmind_appliance.errors import ApplianceError, EngineError, FileUnusable, NameTaken
from moonmind_appliance.models import LoginState, Shard, WaitingFor, WaitReason
from moonmind_appliance.resources import Resources
from moonmind_appliance.shards.check import check_shard
from moonmind_appliance.shards.evidence import admitted_again, cooldown_over, has_passed, is_in_future
from moonmind_appliance.shards.health import renewal_is_due
from moonmind_appliance.shards.read_login import read_stored_login, record_login_file
from moonmind_appliance.store.shards import ShardChange

_CHECK_AGAIN_AFTER = timedelta(seconds=15)
# Time between two reads of a login file that exists: it may have been removed.
_READ_EVERY = timedelta(minutes=15)
# A refused account gets one more try after this: its plan or credits may have changed.
_ADMIT_AGAIN_AFTER = timedelta(hours=1)
_TICK = timedelta(seconds=60)

_log = logging.getLogger(__name__)


def refresh_login(resources: Resources, state: Shard) -> Shard:
    """Read a shard's login file. If that is not possible now, the state is unchanged and it is read again soon."""
    try:
        login_file = read_stored_login(resources, state.shard)
    except (EngineError, FileUnusable) as error:
        return _later(resources, state, error)
    return record_login_file(resources, state.shard, login_file)


def renew_login(resources: Resources, state: Shard, *, wanted: bool = False) -> Shard:
    """Check a shard's login without a model turn; renew it if that is due, or `wanted`.

    If the check is not possible now, the state is unchanged and checked again soon.
    """
    try:
        return check_shard(resources, state.shard, renew=wanted)
    except (EngineError, FileUnusable) as error:
        return _later(resources, state, error)


def maintain_logins(resources: Resources) -> list[int]:
    """Check the logins that no run uses; returns the shards that can take runs again. Runs once a minute.

    Skips a shard that executes a run: the run reports the login's state. A shard whose cooldown ends within a minute is
    woken then. The caller updates why runs wait, then wakes the returned shards: a shard that is woken earlier finds
    only waiting runs.
    """
    now, ready = resources.clock(), []
    busy = {run.shard for run in resources.store.run_lists.in_progress()}
    for number in range(len(resources.shards)):
        try:
            before = resources.store.shards.get(number)
            seen = _maintain(resources, before, now, busy)
            if _can_take_runs_again(resources, before, seen, now):
                ready.append(number)
        except ApplianceError as error:
            _log.warning("Shard %s could not be checked: %s", number, error)
    return ready


def _maintain(resources: Resources, known: Shard, now: datetime, busy: Collection[int | None]) -> Shard:
    if cooldown_over(known, now=now).shard != known:
        known = resources.store.shards.change(known.shard, lambda state: cooldown_over(state, now=now))
    if known.shard in busy:
        return known
    if known.login is LoginState.REFUSED:
        if known.login_since is not None and has_passed(_ADMIT_AGAIN_AFTER, known.login_since, now):
            why = f"one more try after {_ADMIT_AGAIN_AFTER}"
            return resources.store.shards.change(known.shard, lambda state: admitted_again(state, now=now, why=why))
        return refresh_login(resources, known)
    if known.cooldown_until is not None and known.checked_at is not None and is_in_future(known.checked_at, now):
        # The clock was set back: the cooldown may end too late.
        known = resources.store.shards.change(
            known.shard, lambda state: ShardChange(msgspec.structs.replace(state, check_wanted=True))
        )
    if renewal_is_due(known, now):
        return renew_login(resources, known)
    if known.login is LoginState.PRESENT and not has_passed(_READ_EVERY, known.checked_at, now):
        return known
    return refresh_login(resources, known)


def _can_take_runs_again(resources: Resources, before: Shard, seen: Shard, now: datetime) -> bool:
    if seen.login is not LoginState.PRESENT or seen.paused_at is not None:
        return False
    if seen.cooldown_until is not None and now < seen.cooldown_until <= now + _TICK:
        resources.wakeups.wake_at(seen.shard, seen.cooldown_until)
        return False
    return before.login is not LoginState.PRESENT or (before.cooldown_until is not None and seen.cooldown_until is None)


def _later(resources: Resources, state: Shard, error: EngineError | FileUnusable) -> Shard:
    level = logging.INFO if isinstance(error, NameTaken) else logging.WARNING
    _log.log(level, "Shard %s cannot be checked now: %s", state.shard, error)
    again = resources.clock() + _CHECK_AGAIN_AFTER
    resources.wakeups.wake_at(state.shard, again)
    if not isinstance(error, NameTaken) and not _any_login(resources):
        # No shard can take a run before its login was read: the queued runs must say why they do not start.
        resources.store.queue.wait_for_machine(WaitingFor(WaitReason.ENGINE, again, str(error)))
    return state


def _any_login(resources: Resources) -> bool:
    return any(shard.login is LoginState.PRESENT for shard in resources.store.shards.all(len(resources.shards)))
