"""Why queued runs wait. A run's reason is that of all shards that it may use, so runs with the same pin share it."""

from collections.abc import Sequence
from datetime import datetime

from moonmind_appliance.models import LoginState, Run, Shard, WaitingFor, WaitReason
from moonmind_appliance.resources import Resources
from moonmind_appliance.shards.health import is_cooling_down

# The reasons that end when a shard's state changes. A paused shard gives no time to try again; a busy one does.
_OF_SHARDS = frozenset({WaitReason.LOGIN, WaitReason.QUOTA})
_ENDED = _OF_SHARDS | {WaitReason.DRAINED}
_OF_SHARDS_WITHOUT_TIME = frozenset({WaitReason.SHARD_BUSY})
# After the time of these the run only waits for its turn. Disk and engine are examined before each claim instead.
_ENDED_IN_TIME = frozenset({WaitReason.GITHUB, WaitReason.SHARD_BUSY})


def update_waiting(resources: Resources) -> None:
    """Store on all queued runs why no shard that they may use can take them; clear the reason if one can.

    Also clears a wait for GitHub or a busy shard whose time is over: the run then waits for its turn.

    Call it when a shard's state has changed, after a drain, and once a minute. The number of statements depends on the
    number of shards only, and no run is read.
    """
    groups = resources.store.queue.groups(resources.clock())
    if groups:
        shards = resources.store.shards.all(len(resources.shards))
        reasons = {group.pin: why_pinned_wait(resources, shards, group.pin) for group in groups}
        resources.store.queue.wait_by_pin(
            reasons,
            ended=_ENDED,
            ended_without_time=_OF_SHARDS_WITHOUT_TIME,
            ended_in_time=_ENDED_IN_TIME,
            now=resources.clock(),
        )


def update_waiting_after(resources: Resources, before: Shard, after: Shard) -> None:
    """Call `update_waiting` if runs may wait for another reason after this change of a shard."""
    names = ("login", "login_reason", "cooldown_until", "paused_at")
    if any(getattr(before, name) != getattr(after, name) for name in names):
        update_waiting(resources)


def why_pinned_wait(resources: Resources, shards: Sequence[Shard], pin: int | None) -> WaitingFor | None:
    """Why queued runs with that pin do not start; None if a shard can take them. `shards` are all of them."""
    if resources.store.drain.since() is not None:
        return WaitingFor(WaitReason.DRAINED, None, "an operator drained the appliance")
    return why_wait(allowed(shards, pin), resources.clock())


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
    ends = [
        shard.cooldown_until for shard in present if is_cooling_down(shard, now) and shard.cooldown_until is not None
    ]
    if len(ends) == len(present):
        numbers = _numbers(present)
        return WaitingFor(WaitReason.QUOTA, min(ends), f"the usage window of shard {numbers} is used up")
    return None


def why_no_shard_continues(resources: Resources, run: Run, waiting_for: WaitingFor) -> WaitingFor | None:
    """Why a run that its shard cannot continue must wait; None if another shard can take it at once."""
    if waiting_for.reason not in _OF_SHARDS:
        return waiting_for
    return why_pinned_wait(resources, resources.store.shards.all(len(resources.shards)), run.shard_pin)


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


def _numbers(shards: Sequence[Shard]) -> str:
    return ", ".join(str(shard.shard) for shard in shards)
