"""What a worker does before it claims a run."""

from datetime import timedelta

import pytest

from moonmind_appliance.errors import EngineUnreachable
from moonmind_appliance.execution.claim import prepare_claim
from moonmind_appliance.models import LoginState, PhaseName, QuotaWindow, Shard, WaitReason
from tests.appliance_under_test import ApplianceUnderTest
from tests.fakes import NOW
from tests.shard_states import save_shard
from tests.store_cost import counted

MOST_STATEMENTS = 11


@pytest.mark.parametrize("percent", [10.0, 95.0], ids=["enough quota", "nearly used"])
def test_the_cost_of_a_check_does_not_depend_on_the_queue(appliance: ApplianceUnderTest, percent: float) -> None:
    """The same few statements, rows and bytes with no queued run and with 200 of 64 KiB."""
    used = [QuotaWindow(percent, 300, None)]
    save_shard(appliance.store, Shard(shard=0, login=LoginState.PRESENT, quota=used))
    save_shard(appliance.store, Shard(shard=1, login=LoginState.DEAD))
    costs = []
    for runs in (1, 199):
        with counted(appliance.store) as cost:
            assert prepare_claim(appliance.resources, 0)
        costs.append(cost)
        for _ in range(runs):
            appliance.submit(specify_text="x" * 64 * 1024)
    with counted(appliance.store) as last:
        assert prepare_claim(appliance.resources, 0)
    one = costs[1]
    assert costs[0].statements == one.statements == last.statements <= MOST_STATEMENTS
    assert one.rows == last.rows
    assert last.bytes < 64 * 1024


def test_runs_wait_when_a_shards_state_changes_and_not_at_each_check(appliance: ApplianceUnderTest) -> None:
    """One set of statements for all runs with the same pin, one event for each run; a second check writes nothing."""
    save_shard(appliance.store, Shard(shard=1, login=LoginState.DEAD))
    runs = [appliance.submit() for _ in range(20)]
    appliance.sign_out(0)
    with counted(appliance.store) as first:
        assert not prepare_claim(appliance.resources, 0)
    with counted(appliance.store) as second:
        assert not prepare_claim(appliance.resources, 0)
    assert sum("UPDATE runs" in sql for sql in first.sql) == 1
    assert not any("runs" in sql for sql in second.sql)
    for run in runs:
        waits = appliance.stored(run).waiting_for
        assert waits is not None
        assert waits.reason is WaitReason.LOGIN
        assert appliance.kinds(run) == ["run.queued", "run.waiting"]


def test_a_turn_that_ends_a_login_updates_what_other_runs_wait_for(appliance: ApplianceUnderTest) -> None:
    """At once, not at the next check."""
    save_shard(appliance.store, Shard(shard=1, login=LoginState.DEAD))
    appliance.sign_out(1)
    appliance.agent.acts[PhaseName.SPECKIT_SPECIFY] = [
        lambda _process: {"verdict": "quota", "resets_at": NOW.isoformat(), "exit_code": 1}
    ]
    first, second = appliance.submit(), appliance.submit()
    appliance.work(0)
    waits = [appliance.stored(run).waiting_for for run in (first, second)]
    assert [each.reason for each in waits if each] == [WaitReason.QUOTA] * 2
    assert waits[0] == waits[1]


def test_without_disk_space_all_runs_wait_and_the_shard_checks_again(appliance: ApplianceUnderTest) -> None:
    """Also pinned runs; a second check writes no second event."""
    runs = [appliance.submit(), appliance.submit(shard=1)]
    appliance.after(min_free_disk=1 << 60)
    for _ in range(2):
        appliance.clock.advance(seconds=5)
        appliance.work(0)
    for run in runs:
        waits = appliance.stored(run).waiting_for
        assert waits is not None
        assert (waits.reason, waits.until is not None) == (WaitReason.DISK, True)
        assert appliance.kinds(run) == ["run.queued", "run.waiting"]
    assert [shard for shard, _at in appliance.wakeups.timed] == [0, 0]


def test_without_an_engine_all_runs_wait_and_nothing_is_claimed(appliance: ApplianceUnderTest) -> None:
    """The shard checks again; a second check writes no second event, so days without an engine leave few events."""
    runs = [appliance.submit(), appliance.submit(shard=1)]
    appliance.engine.fail(EngineUnreachable("No Docker engine responds."), method="probe", times=2)
    for _ in range(2):
        assert not prepare_claim(appliance.resources, 0)
    for run in runs:
        waits = appliance.stored(run).waiting_for
        assert waits is not None
        assert (waits.reason, waits.detail) == (WaitReason.ENGINE, "No Docker engine responds.")
        assert appliance.kinds(run) == ["run.queued", "run.waiting"]
    assert (0, appliance.clock() + timedelta(seconds=5)) in appliance.wakeups.timed
    assert prepare_claim(appliance.resources, 0)


def test_an_engine_that_cannot_read_any_login_is_what_runs_wait_for(appliance: ApplianceUnderTest) -> None:
    """Before the logins were read, no run starts: it must say why. A shard with a login can still take it."""
    run = appliance.submit()
    appliance.engine.images.clear()
    assert not prepare_claim(appliance.resources, 0)
    waits = appliance.stored(run).waiting_for
    assert waits is not None
    assert waits.reason is WaitReason.ENGINE
    assert "No such image" in waits.detail
    save_shard(appliance.store, Shard(shard=1, login=LoginState.PRESENT))
    other = appliance.submit()
    assert not prepare_claim(appliance.resources, 0)
    assert appliance.stored(other).waiting_for is None
