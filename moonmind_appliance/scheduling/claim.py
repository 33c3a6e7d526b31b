"""Whether a shard may claim a run now. Pure: the worker reads the facts and acts on the answer."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from moonmind_appliance.models import LoginState, Shard
from moonmind_appliance.shards.health import health_of, is_cooling_down, nearly_used
from moonmind_appliance.store.queue import QueueGroup

# How long a shard with little quota left leaves a run to another idle shard.
_LEAVE_TO_OTHERS = timedelta(seconds=5)


class WhyNot(StrEnum):
    """Why a shard claims nothing."""

    NO_LOGIN = "no_login"
    PAUSED = "paused"
    COOLDOWN = "cooldown"
    LEFT_TO_ANOTHER = "left_to_another"


class Claim(msgspec.Struct, frozen=True):
    """The shard may claim a run."""


class NoClaim(msgspec.Struct, frozen=True):
    """The shard must not claim a run.

    Attributes:
        why: the reason.
        until: when to decide again; None: when the shard's state changes.
        other: the shard to wake instead.
    """

    why: WhyNot
    until: datetime | None = None
    other: int | None = None


class Facts(msgspec.Struct, frozen=True):
    """What the decision needs besides the shard's own state, if little of its quota is left.

    Attributes:
        shards: all of them.
        busy: the numbers of those that execute a run.
        queue: the queued runs by pin.
    """

    shards: Sequence[Shard]
    busy: Collection[int | None]
    queue: Sequence[QueueGroup]


def may_claim(state: Shard, facts: Facts | None, now: datetime) -> Claim | NoClaim:
    """Whether the shard may claim a run now.

    Args:
        state: the shard's state.
        facts: may be None if the shard has enough quota left (`nearly_used`).
        now: the time of the decision.
    """
    if state.login is not LoginState.PRESENT:
        return NoClaim(WhyNot.NO_LOGIN)
    if state.paused_at is not None:
        return NoClaim(WhyNot.PAUSED)
    if is_cooling_down(state, now):
        return NoClaim(WhyNot.COOLDOWN, state.cooldown_until)
    other = None if facts is None or not nearly_used(state, now) else _better_shard(state, facts, now)
    return Claim() if other is None else NoClaim(WhyNot.LEFT_TO_ANOTHER, now + _LEAVE_TO_OTHERS, other)


def _better_shard(state: Shard, facts: Facts, now: datetime) -> int | None:
    """An idle shard with more quota left; None if there is none, or there is no run that it could take."""
    ready = {group.pin for group in facts.queue if group.ready}
    if state.shard in ready or None not in ready:
        return None
    for other in facts.shards:
        fit = health_of(other, now=now).takes_runs and not nearly_used(other, now)
        if other.shard != state.shard and other.shard not in facts.busy and fit:
            return other.shard
    return None
