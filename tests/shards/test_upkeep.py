"""Logins are kept fresh: found, renewed, and given another try."""

import hashlib
from datetime import timedelta

import pytest

from moonmind_appliance.errors import EngineUnreachable
from moonmind_appliance.models import LoginState, Shard
from moonmind_appliance.shards.upkeep import maintain_logins, refresh_login
from tests.appliance_under_test import ApplianceUnderTest
from tests.fakes import NOW
from tests.shard_states import save_shard


def states(appliance: ApplianceUnderTest) -> list[LoginState]:
    return [appliance.store.shards.get(number).login for number in range(len(appliance.resources.shards))]


def test_a_login_is_found_and_its_shard_can_take_runs_again(appliance: ApplianceUnderTest) -> None:
    """The caller wakes it, after why runs wait is updated."""
    appliance.know_logins(LoginState.UNKNOWN, LoginState.PRESENT)
    assert maintain_logins(appliance.resources) == [0]
    assert states(appliance) == [LoginState.PRESENT, LoginState.PRESENT]


def test_a_removed_login_is_noticed_after_its_time(appliance: ApplianceUnderTest) -> None:
    """A file that was read recently is not read again."""
    appliance.know_logins(LoginState.UNKNOWN, LoginState.UNKNOWN)
    maintain_logins(appliance.resources)
    appliance.sign_out(0)
    appliance.clock.advance(minutes=14)
    maintain_logins(appliance.resources)
    assert states(appliance)[0] is LoginState.PRESENT
    appliance.clock.advance(minutes=2)
    maintain_logins(appliance.resources)
    assert states(appliance) == [LoginState.ABSENT, LoginState.PRESENT]


def test_a_clock_that_was_set_back_delays_no_check(appliance: ApplianceUnderTest) -> None:
    """The last check is an hour in the future then."""
    appliance.know_logins(LoginState.UNKNOWN, LoginState.UNKNOWN)
    maintain_logins(appliance.resources)
    appliance.sign_out(0)
    appliance.clock.advance(hours=-1)
    maintain_logins(appliance.resources)
    assert states(appliance) == [LoginState.ABSENT, LoginState.PRESENT]


@pytest.mark.parametrize(("set_back", "wanted"), [(timedelta(hours=1), True), (timedelta(seconds=30), False)])
def test_a_cooldown_is_checked_after_the_clock_was_set_back(
    appliance: ApplianceUnderTest, set_back: timedelta, *, wanted: bool
) -> None:
    """It would end too late. A few seconds are the difference between two threads."""
    later = NOW + timedelta(minutes=30)
    cooling = Shard(shard=0, login=LoginState.PRESENT, checked_at=NOW + set_back, cooldown_until=later)
    save_shard(appliance.store, cooling)
    appliance.engine.fail(EngineUnreachable("gone"))
    maintain_logins(appliance.resources)
    assert appliance.store.shards.get(0).check_wanted is wanted


def test_a_paused_shard_is_checked_but_takes_no_runs(appliance: ApplianceUnderTest) -> None:
    """It accepts no runs."""
    save_shard(appliance.store, Shard(shard=0, paused_at=NOW))
    assert 0 not in maintain_logins(appliance.resources)
    assert states(appliance)[0] is LoginState.PRESENT


def test_a_shard_that_executes_a_run_is_left_alone(appliance: ApplianceUnderTest) -> None:
    """The run reports the login's state."""
    appliance.take(appliance.submit())
    maintain_logins(appliance.resources)
    assert states(appliance) == [LoginState.UNKNOWN, LoginState.PRESENT]


@pytest.mark.parametrize(("hours", "woken"), [(0.9, False), (1.1, True)])
def test_a_refused_account_gets_another_try_after_an_hour(
    appliance: ApplianceUnderTest, hours: float, *, woken: bool
) -> None:
    """Its plan or credits may have changed."""
    since = NOW - timedelta(hours=hours)
    digest = hashlib.sha256(b"rt_secretOfShard0-0123456789").hexdigest()
    save_shard(appliance.store, Shard(shard=0, login=LoginState.REFUSED, login_since=since, login_digest=digest))
    maintain_logins(appliance.resources)
    assert (states(appliance)[0] is not LoginState.REFUSED) is woken


def test_an_engine_that_does_not_answer_changes_no_state(appliance: ApplianceUnderTest) -> None:
    """The shard is checked again in some seconds."""
    known = Shard(shard=0, login=LoginState.PRESENT)
    save_shard(appliance.store, known)
    appliance.engine.fail(EngineUnreachable("gone"))
    assert refresh_login(appliance.resources, known) == known
    assert appliance.store.shards.get(0) == known
    assert appliance.wakeups.timed == [(0, appliance.clock() + timedelta(seconds=15))]


def test_the_end_of_a_cooldown_wakes_the_shard(appliance: ApplianceUnderTest) -> None:
    """At its exact time if that is in the next minute, else when it is over."""
    soon, over = NOW + timedelta(seconds=40), NOW - timedelta(seconds=1)
    save_shard(appliance.store, Shard(shard=0, login=LoginState.PRESENT, checked_at=NOW, cooldown_until=soon))
    save_shard(appliance.store, Shard(shard=1, login=LoginState.PRESENT, checked_at=NOW, cooldown_until=over))
    assert maintain_logins(appliance.resources) == [1]
    assert appliance.wakeups.timed == [(0, soon)]
    assert appliance.store.shards.get(1).cooldown_until is None
