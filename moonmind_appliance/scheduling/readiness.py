"""Decides whether a shard may claim a run now, and why queued runs wait."""

import logging
import shutil
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from moonmind_appliance.errors import ApplianceError, EngineError, NameTaken
from moonmind_appliance.models import LoginState, Run, Shard, WaitingFor, WaitReason
from moonmind_appliance.resources import Resources
from moonmind_appliance.shards.evidence import admitted_again, rest_over
from moonmind_appliance.shards.health import check_shard, health_of, nearly_used, renewal_is_due, rests
from moonmind_appliance.shards.look import look_at_shard, note_login

_LOOK_AGAIN = timedelta(seconds=15)
_DISK_PAUSE = timedelta(minutes=1)
# How long a shard with little quota left leaves a run to another idle shard.
_LEAVE_TO_OTHERS = timedelta(seconds=5)
# How often an existing login file is looked at: it may have been removed.
_LOOK_EVERY = timedelta(minutes=15)
# A refused account gets one more try after this: its plan or credits may have changed.
_ADMIT_AGAIN_AFTER = timedelta(hours=1)
_TICK = timedelta(seconds=60)

_log = logging.getLogger(__name__)


def ready_to_claim(resources: Resources, shard: int) -> bool:
    """Whether the shard has disk space, a login and quota. Checks a login whose state is unknown or doubtful."""
    now = resources.clock()
    if shutil.disk_usage(resources.settings.moonmind_data_dir).free < resources.settings.min_free_disk:
        _all_wait(
            resources, WaitingFor(WaitReason.DISK, now + _DISK_PAUSE, "the data folder's disk is nearly full"), shard
        )
        return False
    state = resources.store.shards.change(shard, lambda known: rest_over(known, now=now))
    if state.login is not LoginState.PRESENT:
        state = refresh_login(resources, state, now)
    elif renewal_is_due(state, now):
        state = renew_login(resources, state)
    say_who_waits(resources)
    if state.login is not LoginState.PRESENT or state.paused_at is not None:
        return False
    if rests(state, now) and state.rests_until is not None:
        resources.wakeups.wake_at(shard, state.rests_until)
        return False
    return not _left_to_others(resources, state, now)


def refresh_login(resources: Resources, state: Shard, now: datetime) -> Shard:
    """Look at a shard's login file. If that is not possible now, the state is unchanged and looked at again soon."""
    try:
        login_file = look_at_shard(resources, state.shard)
    except EngineError as error:
        return _later(resources, state, now, error)
    return note_login(resources, state.shard, login_file)


def renew_login(resources: Resources, state: Shard, *, wanted: bool = False) -> Shard:
    """Check a shard's login without a model turn; renew it if that is due, or `wanted`.

    If the check is not possible now, the state is unchanged and checked again soon.
    """
    try:
        return check_shard(resources, state.shard, renew=wanted)
    except EngineError as error:
        return _later(resources, state, resources.clock(), error)


def look_after_logins(resources: Resources) -> None:
    """Runs once a minute: find logins that were created, lost or expired, and renew those that expire soon.

    Skips a shard that executes a run: the run reports the login's state. Wakes every shard that can take runs again,
    so that a lost wake-up delays no run for long.
    """
    now = resources.clock()
    busy = {run.shard for run in resources.store.run_lists.in_progress()}
    for number in range(len(resources.shards)):
        try:
            before = resources.store.shards.get(number)
            seen = _look_after(resources, before, now, busy)
            _wake_for(resources, before, seen, now)
        except ApplianceError as error:
            _log.warning("Shard %s could not be checked: %s", number, error)
    say_who_waits(resources)


def say_who_waits(resources: Resources) -> None:
    """Set on each queued run why no shard that it may use can take it; clear the reason if one can."""
    now = resources.clock()
    shards = resources.store.shards.all(len(resources.shards))
    for run in resources.store.run_lists.queued():
        reason = why_wait(allowed(shards, run.shard_pin), now)
        waits = run.waiting_for
        if reason is not None:
            if waits is None or (waits.reason, waits.until, waits.detail) != (
                reason.reason,
                reason.until,
                reason.detail,
            ):
                resources.store.queue.wait(run.run_id, reason)
        elif waits is not None and (waits.reason in (WaitReason.LOGIN, WaitReason.QUOTA) or _paused(waits)):
            resources.store.queue.wait(run.run_id, None)


def why_wait(shards: Sequence[Shard], now: datetime) -> WaitingFor | None:
    """Why none of the shards that a run may use can take it; None if one can. Pure."""
    paused = [shard for shard in shards if shard.paused_at is not None]
    shards = [shard for shard in shards if shard.paused_at is None]
    if paused and not shards:
        return WaitingFor(WaitReason.SHARD_BUSY, None, f"shard {_numbers(paused)} is paused")
    if any(shard.login is LoginState.UNKNOWN for shard in shards):
        return None
    present = [shard for shard in shards if shard.login is LoginState.PRESENT]
    if not present:
        return WaitingFor(WaitReason.LOGIN, None, _no_login(shards))
    ends = [shard.rests_until for shard in present if rests(shard, now) and shard.rests_until is not None]
    if len(ends) == len(present):
        numbers = _numbers(present)
        return WaitingFor(WaitReason.QUOTA, min(ends), f"the usage window of shard {numbers} is used up")
    return None


def why_nobody_goes_on(resources: Resources, run: Run, waiting_for: WaitingFor) -> WaitingFor | None:
    """Why a run that its shard cannot continue must wait; None if another shard can take it at once."""
    if waiting_for.reason not in (WaitReason.LOGIN, WaitReason.QUOTA):
        return waiting_for
    return why_wait(allowed(resources.store.shards.all(len(resources.shards)), run.shard_pin), resources.clock())


def allowed(shards: Sequence[Shard], pin: int | None) -> list[Shard]:
    """The shards that a run may use."""
    return [shard for shard in shards if pin is None or shard.shard == pin]


def _no_login(shards: Sequence[Shard]) -> str:
    if not shards:
        return "the shard that the run is pinned to no longer exists"
    return "; ".join(
        f"shard {shard.shard}: {shard.login_reason or f'login {shard.login.value}'}"
        for shard in sorted(shards, key=lambda shard: shard.shard)
    )


def _paused(waits: WaitingFor) -> bool:
    """A busy shard gives a time to try again; a paused one does not."""
    return waits.reason is WaitReason.SHARD_BUSY and waits.until is None


def _numbers(shards: Sequence[Shard]) -> str:
    return ", ".join(str(shard.shard) for shard in shards)


def _left_to_others(resources: Resources, state: Shard, now: datetime) -> bool:
    """Whether a shard with little quota left should leave the queue to an idle shard with more."""
    if not nearly_used(state, now):
        return False
    may_begin = [run for run in resources.store.run_lists.queued() if run.waiting_for is None]
    if any(run.shard_pin == state.shard for run in may_begin) or all(run.shard_pin is not None for run in may_begin):
        return False
    busy = {run.shard for run in resources.store.run_lists.in_progress()}
    for other in resources.store.shards.all(len(resources.shards)):
        fit = health_of(other, now=now).takes_runs and not nearly_used(other, now)
        if other.shard != state.shard and other.shard not in busy and fit:
            resources.wakeups.wake(other.shard)
            resources.wakeups.wake_at(state.shard, now + _LEAVE_TO_OTHERS)
            resources.store.events.add(
                "shard.left_to_others", shard=state.shard, data={"to": other.shard, "windows": state.quota}
            )
            return True
    return False


def _look_after(resources: Resources, known: Shard, now: datetime, busy: Collection[int | None]) -> Shard:
    if rest_over(known, now=now).shard != known:
        known = resources.store.shards.change(known.shard, lambda state: rest_over(state, now=now))
    if known.shard in busy:
        return known
    if known.login is LoginState.REFUSED:
        if known.login_since is not None and now - known.login_since >= _ADMIT_AGAIN_AFTER:
            why = f"one more try after {_ADMIT_AGAIN_AFTER}"
            return resources.store.shards.change(known.shard, lambda state: admitted_again(state, now=now, why=why))
        return refresh_login(resources, known, now)
    if renewal_is_due(known, now):
        return renew_login(resources, known)
    if known.login is LoginState.PRESENT and known.checked_at and now - known.checked_at < _LOOK_EVERY:
        return known
    return refresh_login(resources, known, now)


def _wake_for(resources: Resources, before: Shard, seen: Shard, now: datetime) -> None:
    if seen.login is not LoginState.PRESENT or seen.paused_at is not None:
        return
    if seen.rests_until is not None and now < seen.rests_until <= now + _TICK:
        resources.wakeups.wake_at(seen.shard, seen.rests_until)
    elif before.login is not LoginState.PRESENT or (before.rests_until is not None and seen.rests_until is None):
        resources.wakeups.wake(seen.shard)


def _later(resources: Resources, state: Shard, now: datetime, error: EngineError) -> Shard:
    level = logging.INFO if isinstance(error, NameTaken) else logging.WARNING
    _log.log(level, "Shard %s cannot be checked now: %s", state.shard, error)
    resources.wakeups.wake_at(state.shard, now + _LOOK_AGAIN)
    return state


def _all_wait(resources: Resources, waiting_for: WaitingFor, shard: int) -> None:
    for run in resources.store.run_lists.queued():
        if run.waiting_for is None or run.waiting_for.reason is not waiting_for.reason:
            resources.store.queue.wait(run.run_id, waiting_for)
    if waiting_for.until is not None:
        resources.wakeups.wake_at(shard, waiting_for.until)
