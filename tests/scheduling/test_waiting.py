"""Which shard takes which run, what runs wait for, and the periodic checks."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from moonmind_appliance.execution.claim import prepare_claim
from moonmind_appliance.execution.recover import recover
from moonmind_appliance.models import (
    LoginState,
    PhaseName,
    QuotaWindow,
    RunStatus,
    Shard,
    WaitingFor,
    WaitReason,
)
from moonmind_appliance.scheduling.waiting import update_waiting, why_wait
from tests.appliance_under_test import ApplianceUnderTest
from tests.fakes import ANN, BOB, NOW
from tests.shard_states import save_shard

HOUR = timedelta(hours=1)
P, U, A, D, R = LoginState.PRESENT, LoginState.UNKNOWN, LoginState.ABSENT, LoginState.DEAD, LoginState.REFUSED


def shard(number: int, login: LoginState = P, **more: Any) -> Shard:
    return Shard(shard=number, login=login, **more)


@pytest.mark.parametrize(
    ("rule", "shards", "reason", "until"),
    [
        ("a good login takes it", [shard(0)], None, None),
        ("one good login among bad ones is enough", [shard(0, D), shard(1)], None, None),
        ("what nobody has looked at may take it", [shard(0, A), shard(1, U)], None, None),
        ("no login anywhere", [shard(0, A), shard(1, D)], WaitReason.LOGIN, None),
        ("a refused account takes nothing", [shard(0, R)], WaitReason.LOGIN, None),
        ("no shard at all", [], WaitReason.LOGIN, None),
        (
            "all in cooldown: until the first one is ready",
            [shard(0, cooldown_until=NOW + 2 * HOUR)],
            WaitReason.QUOTA,
            2,
        ),
        (
            "the earliest of two",
            [shard(0, cooldown_until=NOW + 2 * HOUR), shard(1, cooldown_until=NOW + HOUR)],
            WaitReason.QUOTA,
            1,
        ),
        ("a dead login does not rest", [shard(0, D), shard(1, cooldown_until=NOW + HOUR)], WaitReason.QUOTA, 1),
        ("a rest that is over is none", [shard(0, cooldown_until=NOW)], None, None),
    ],
)
def test_why_a_run_waits(rule: str, shards: list[Shard], reason: WaitReason | None, until: int | None) -> None:
    """For what all of its shards lack, until the first of them is available."""
    waits = why_wait(shards, NOW)
    assert (waits.reason if waits else None) is reason, rule
    if waits:
        assert waits.until == (None if until is None else NOW + until * HOUR)
        assert waits.detail


def used(percent: float) -> Callable[[Shard], Shard]:
    return lambda state: msgspec.structs.replace(state, login=P, quota=[QuotaWindow(percent, 300, NOW + HOUR)])


def change(appliance: ApplianceUnderTest, number: int, how: Callable[[Shard], Shard]) -> None:
    save_shard(appliance.store, how(appliance.store.shards.get(number)))


def test_a_shard_about_to_run_dry_leaves_runs_to_one_that_is_not(appliance: ApplianceUnderTest) -> None:
    """The other one is woken, this one checks again shortly, and an event reports it."""
    change(appliance, 0, used(95.0))
    change(appliance, 1, used(10.0))
    appliance.submit()
    appliance.wakeups.woken.clear()
    assert not prepare_claim(appliance.resources, 0)
    assert prepare_claim(appliance.resources, 1)
    assert appliance.wakeups.woken == [1]
    assert [number for number, _at in appliance.wakeups.timed] == [0]
    assert "shard.left_to_others" in [event.kind for event in appliance.store.events.after(0, limit=500)]


def test_a_shard_about_to_run_dry_works_while_the_others_are_busy(appliance: ApplianceUnderTest) -> None:
    """No queue waits while a shard is idle."""
    change(appliance, 0, used(95.0))
    change(appliance, 1, used(10.0))
    appliance.submit()
    appliance.submit()
    assert appliance.store.queue.claim(1, "lease", now=appliance.clock(), lease_seconds=60)
    assert prepare_claim(appliance.resources, 0)


def test_a_nearly_used_shard_takes_runs_that_are_pinned_to_it(appliance: ApplianceUnderTest) -> None:
    """No other shard may take them."""
    change(appliance, 0, used(95.0))
    change(appliance, 1, used(10.0))
    run = appliance.submit(shard=0)
    appliance.work(0)
    assert appliance.stored(run).status is RunStatus.SUCCEEDED


def test_a_nearly_used_shard_leaves_no_run_that_no_other_shard_can_take(appliance: ApplianceUnderTest) -> None:
    """Runs that wait, or are pinned to another shard, do not wake a shard repeatedly."""
    change(appliance, 0, used(95.0))
    change(appliance, 1, used(10.0))
    waits = appliance.submit()
    appliance.store.queue.wait(waits.run_id, WaitingFor(WaitReason.DISK, appliance.clock() + HOUR, "no room"))
    appliance.submit(shard=1)
    appliance.wakeups.woken.clear()
    assert prepare_claim(appliance.resources, 0)
    assert appliance.wakeups.woken == []


def limit(until: datetime) -> Callable[[Any], dict[str, Any]]:
    return lambda _process: {"verdict": "quota", "resets_at": until.isoformat(), "exit_code": 1}


def test_runs_wait_while_all_shards_are_at_their_limit(appliance: ApplianceUnderTest) -> None:
    """Queued, with the time; at that time each shard is woken, also after a restart."""
    appliance.agent.acts[PhaseName.SPECKIT_PLAN] = [limit(NOW + HOUR), limit(NOW + 2 * HOUR)]
    run = appliance.submit()
    appliance.work(0)
    assert appliance.stored(run).waiting_for is None
    appliance.work(1)
    waits = appliance.stored(run).waiting_for
    assert waits is not None
    first = appliance.store.shards.get(0).cooldown_until
    assert (waits.reason, waits.until) == (WaitReason.QUOTA, first)
    assert first is not None
    assert NOW + HOUR < first < NOW + HOUR + timedelta(minutes=1)
    appliance.clock.now = first - timedelta(seconds=30)
    appliance.wakeups.timed.clear()
    recover(appliance.resources)
    appliance.minute_passes()
    assert (0, first) in appliance.wakeups.timed
    appliance.work(0)
    assert appliance.stored(run).status is RunStatus.QUEUED
    appliance.clock.now = first
    appliance.work(0)
    assert appliance.stored(run).status is RunStatus.SUCCEEDED
    assert appliance.agent.turns.count(PhaseName.SPECKIT_SPECIFY) == 1


def test_a_run_whose_time_is_over_waits_for_its_turn(appliance: ApplianceUnderTest) -> None:
    """While all shards are busy it must not show a time in the past. A full disk stays the reason until a claim."""
    queue, runs = appliance.store.queue, {}
    for reason in (WaitReason.GITHUB, WaitReason.SHARD_BUSY, WaitReason.DISK):
        runs[reason] = appliance.submit()
        queue.wait(runs[reason].run_id, WaitingFor(reason, NOW + HOUR))
    late = appliance.submit()
    queue.wait(late.run_id, WaitingFor(WaitReason.GITHUB, NOW + 3 * HOUR))
    appliance.clock.now = NOW + HOUR
    update_waiting(appliance.resources)
    waiting = {run.run_id: run.waiting_for for run in appliance.store.run_lists.queued()}
    assert {reason: waiting[run.run_id] for reason, run in runs.items()} == {
        WaitReason.GITHUB: None,
        WaitReason.SHARD_BUSY: None,
        WaitReason.DISK: WaitingFor(WaitReason.DISK, NOW + HOUR),
    }
    assert waiting[late.run_id] == WaitingFor(WaitReason.GITHUB, NOW + 3 * HOUR)


def refuses(_process: Any) -> dict[str, Any]:
    return {"verdict": "plan_without_codex", "message": "no", "exit_code": 1}


def test_a_refused_account_costs_one_run_and_not_the_queue(appliance: ApplianceUnderTest) -> None:
    """One shard, ten runs: the first names who must act, the others wait; an hour later one more is tried."""
    appliance.agent.acts[PhaseName.SPECKIT_SPECIFY] = [refuses]
    save_shard(appliance.store, shard(1, A))
    appliance.sign_out(1)
    runs = [appliance.submit() for _ in range(10)]
    appliance.work(0)
    assert [appliance.stored(run).status for run in runs] == [RunStatus.FAILED] + [RunStatus.QUEUED] * 9
    waits = appliance.stored(runs[1]).waiting_for
    assert waits is not None
    assert waits.reason is WaitReason.LOGIN
    appliance.minute_passes()
    assert appliance.store.shards.get(0).login is R
    appliance.clock.advance(hours=1)
    appliance.minute_passes()
    appliance.work(0)
    assert {appliance.stored(run).status for run in runs[1:]} == {RunStatus.SUCCEEDED}


def test_a_login_that_another_process_created_is_found(appliance: ApplianceUnderTest) -> None:
    """The periodic check removes the reason, then wakes the shard: one woken before would find nothing to claim."""
    for number in (0, 1):
        appliance.sign_out(number)
    run = appliance.submit()
    appliance.work(0)
    appliance.work(1)
    assert appliance.stored(run).waiting_for is not None
    appliance.sign_in(1)
    woken: list[tuple[int, WaitingFor | None]] = []
    appliance.wakeups.wake = lambda number: woken.append((number, appliance.stored(run).waiting_for))
    appliance.minute_passes()
    assert woken == [(1, None)]


def test_no_users_hundred_runs_starve_another_users_one(appliance: ApplianceUnderTest) -> None:
    """After a hundred runs of one user, a free shard takes another user's single run next."""
    crowd = [appliance.submit(ANN) for _ in range(100)]
    first = appliance.store.queue.claim(0, "lease-0", now=appliance.clock(), lease_seconds=60)
    assert first is not None
    assert first.run_id == crowd[0].run_id
    single = appliance.submit(BOB)
    taken = appliance.store.queue.claim(1, "lease-1", now=appliance.clock(), lease_seconds=60)
    assert taken is not None
    assert taken.run_id == single.run_id


def test_one_shard_has_no_rough_edge(appliance: ApplianceUnderTest) -> None:
    """The login dies: the run waits, reports why, and continues at the same phase after a new sign-in."""
    appliance.agent.acts[PhaseName.SPECKIT_TASKS] = [lambda _process: {"verdict": "login_dead", "exit_code": 1}]
    run = appliance.submit(shard=0)
    appliance.work(0)
    waits = appliance.stored(run).waiting_for
    assert waits is not None
    assert (waits.reason, waits.until) == (WaitReason.LOGIN, None)
    assert "shard 0" in waits.detail
    appliance.work(0)
    assert appliance.stored(run).status is RunStatus.QUEUED
    volume = appliance.engine.volume_data[appliance.resources.shards[0].volume]
    volume.files["auth.json"].content = b"rt_aNewLoginOfShard0-0123456789"
    appliance.work(0)
    assert appliance.stored(run).status is RunStatus.SUCCEEDED
    assert appliance.agent.turns.count(PhaseName.SPECKIT_PLAN) == 1


def test_after_a_crash_the_login_is_checked_before_it_is_used(appliance: ApplianceUnderTest) -> None:
    """The agent may have been killed after its old tokens were used: the login must not appear valid if it is dead."""
    appliance.submit()
    assert appliance.store.queue.claim(0, "lease", now=appliance.clock(), lease_seconds=60)
    recover(appliance.resources)
    assert [state.check_wanted for state in appliance.store.shards.all(2)] == [True, False]
