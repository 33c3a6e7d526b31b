"""Which shard is woken for a run."""

from datetime import timedelta

import pytest

from moonmind_appliance.models import LoginState, Shard, WaitingFor, WaitReason
from moonmind_appliance.runs.pause import pause_shard
from moonmind_appliance.scheduling.wake import first_to_wake, wake_for, wake_queued
from tests.appliance_under_test import ApplianceUnderTest
from tests.fakes import NOW
from tests.shard_states import save_shard
from tests.store_cost import counted

P, U, A, D = LoginState.PRESENT, LoginState.UNKNOWN, LoginState.ABSENT, LoginState.DEAD
HOUR = timedelta(hours=1)


def shard(
    number: int, login: LoginState = P, *, cooldown: timedelta | None = None, turn: timedelta | None = None
) -> Shard:
    return Shard(
        shard=number,
        login=login,
        cooldown_until=None if cooldown is None else NOW + cooldown,
        last_turn_at=None if turn is None else NOW + turn,
    )


@pytest.mark.parametrize(
    ("rule", "shards", "idle", "pin", "expected"),
    [
        ("an idle one before a busy one", [shard(0), shard(1)], {1}, None, 1),
        ("the longest unused of two idle ones", [shard(0, turn=-HOUR), shard(1, turn=-2 * HOUR)], {0, 1}, None, 1),
        ("one that was never used before all", [shard(0, turn=-HOUR), shard(1)], {0, 1}, None, 1),
        ("a login before an unknown one", [shard(0, U), shard(1)], {0, 1}, None, 1),
        ("an idle unknown one before a busy login", [shard(0, U), shard(1)], {0}, None, 0),
        ("an unknown one before none", [shard(0, A), shard(1, U)], {0, 1}, None, 1),
        ("a busy login before an idle dead one", [shard(0, D), shard(1)], {0}, None, 1),
        ("one with quota before one in cooldown", [shard(0, cooldown=HOUR), shard(1)], {0}, None, 1),
        ("one whose cooldown is over counts as ready", [shard(0, cooldown=-HOUR), shard(1)], {0}, None, 0),
        ("the pinned one, whatever it is", [shard(0), shard(1, D)], {0}, 1, 1),
        ("none, when the pinned one is gone", [shard(0)], {0}, 7, None),
        ("some shard, even if none has a login", [shard(0, A), shard(1, D)], set(), None, 0),
    ],
)
def test_the_shard_to_wake(
    rule: str, shards: list[Shard], idle: set[int], pin: int | None, expected: int | None
) -> None:
    """The shard that can begin first is woken."""
    assert first_to_wake(shards, idle, pin, NOW) == expected, rule


def test_queued_runs_wake_their_shards_without_being_read(appliance: ApplianceUnderTest) -> None:
    """Once for each pin, and at each retry time; the number of statements does not depend on the number of runs."""
    for number in (0, 1):
        save_shard(appliance.store, shard(number))
    times = {(1, NOW + HOUR), (0, NOW + HOUR), (0, NOW + 2 * HOUR)}
    for number, until in times:
        run = appliance.submit(shard=number)
        appliance.store.queue.wait(run.run_id, WaitingFor(WaitReason.ENGINE, until, "no engine"))
    costs = []
    for runs in (1, 20):
        for _ in range(runs):
            appliance.submit(specify_text="x" * 64 * 1024)
        appliance.wakeups.woken.clear()
        appliance.wakeups.timed.clear()
        with counted(appliance.store) as cost:
            queued = wake_queued(appliance.resources)
        costs.append(cost)
        assert set(appliance.wakeups.woken) == {0, 1}
        assert sorted(appliance.wakeups.timed) == sorted(times)
    assert queued == len(times) + 21
    assert costs[0].statements == costs[1].statements
    assert costs[1].bytes < 64 * 1024


def test_a_full_disk_is_no_bug(appliance: ApplianceUnderTest, caplog: pytest.LogCaptureFixture) -> None:
    """The run is stored; what it waits for cannot be stored now. The log has the reason and no traceback."""
    run = appliance.submit(shard=0)
    pause_shard(appliance.resources, 0)
    caplog.clear()
    with appliance.store.database.read() as connection:
        connection.execute("PRAGMA query_only = ON")
    wake_for(appliance.resources, run)
    (line,) = caplog.records
    assert line.getMessage().startswith(f"Run {run.run_id} is queued, but no shard could be notified: Database ")
    assert line.exc_info is None
