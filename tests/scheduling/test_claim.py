"""Which shard may claim a run, as a table."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from moonmind_appliance.models import LoginState, QuotaWindow, Shard
from moonmind_appliance.scheduling.claim import Claim, Facts, NoClaim, WhyNot, may_claim
from moonmind_appliance.store.queue import QueueGroup

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
NEARLY = [QuotaWindow(95.0, 300, NOW + HOUR)]
ANY = QueueGroup(pin=None, runs=3, due=3, ready=3)


def shard(number: int = 0, login: LoginState = LoginState.PRESENT, **more: Any) -> Shard:
    return Shard(shard=number, login=login, **more)


def facts(*others: Shard, busy: tuple[int, ...] = (), queue: tuple[QueueGroup, ...] = (ANY,)) -> Facts:
    return Facts([shard(quota=NEARLY), *others], busy, queue)


LEFT = NoClaim(WhyNot.LEFT_TO_ANOTHER, NOW + timedelta(seconds=5), 1)


@pytest.mark.parametrize(
    ("rule", "state", "known", "expected"),
    [
        ("signed in", shard(), None, Claim()),
        ("signed out", shard(login=LoginState.ABSENT), None, NoClaim(WhyNot.NO_LOGIN)),
        ("not checked", shard(login=LoginState.UNKNOWN), None, NoClaim(WhyNot.NO_LOGIN)),
        ("paused", shard(paused_at=NOW), None, NoClaim(WhyNot.PAUSED)),
        ("in cooldown", shard(cooldown_until=NOW + HOUR), None, NoClaim(WhyNot.COOLDOWN, NOW + HOUR)),
        ("after its cooldown", shard(cooldown_until=NOW), None, Claim()),
        ("little quota left, alone", shard(quota=NEARLY), facts(), Claim()),
        ("little quota left, another is idle", shard(quota=NEARLY), facts(shard(1)), LEFT),
        ("the other one is busy", shard(quota=NEARLY), facts(shard(1), busy=(1,)), Claim()),
        ("the other one is paused", shard(quota=NEARLY), facts(shard(1, paused_at=NOW)), Claim()),
        ("the other one has little left, too", shard(quota=NEARLY), facts(shard(1, quota=NEARLY)), Claim()),
        ("no queued run", shard(quota=NEARLY), facts(shard(1), queue=()), Claim()),
        (
            "a run is pinned to it",
            shard(quota=NEARLY),
            facts(shard(1), queue=(ANY, QueueGroup(pin=0, runs=1, due=1, ready=1))),
            Claim(),
        ),
        (
            "all runs wait for something",
            shard(quota=NEARLY),
            facts(shard(1), queue=(QueueGroup(pin=None, runs=2, due=2, ready=0),)),
            Claim(),
        ),
        (
            "runs are pinned elsewhere",
            shard(quota=NEARLY),
            facts(shard(1), queue=(QueueGroup(pin=1, runs=2, due=2, ready=2),)),
            Claim(),
        ),
    ],
)
def test_which_shard_may_claim(rule: str, state: Shard, known: Facts | None, expected: Claim | NoClaim) -> None:
    """A login, no pause, no cooldown; and with little quota left, no better shard."""
    assert may_claim(state, known, NOW) == expected, rule
