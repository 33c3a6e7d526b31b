"""Recorded wake-ups, a clock that a test advances, and users who submit runs."""

from datetime import UTC, datetime, timedelta

from moonmind_appliance.dispatch import Wakeups
from moonmind_appliance.models import Actor, ShardNames

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ANN = Actor("local:ann", "ann")
BOB = Actor("local:bob", "bob")
OPERATOR = Actor("local:olga", "olga", operator=True)


class RecordedWakeups(Wakeups):
    """Keeps the shards that were woken, and (shard, time), instead of writing into huey's file."""

    def __init__(self, *, broken: bool = False) -> None:
        self.woken: list[int] = []
        self.timed: list[tuple[int, datetime]] = []
        self.broken = broken

    def wake(self, shard: int) -> None:
        if self.broken:
            raise OSError("no wake-up")
        self.woken.append(shard)

    def wake_at(self, shard: int, at: datetime) -> None:
        self.timed.append((shard, at))


class Clock:
    """A clock that stops until a test advances it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


def shard_names(count: int = 3) -> list[ShardNames]:
    return [ShardNames(number, "codex_auth_") for number in range(count)]
