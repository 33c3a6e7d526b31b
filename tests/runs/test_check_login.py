"""Check a shard's login on demand."""

from moonmind_appliance.models import LoginState
from moonmind_appliance.runs.check_login import check_login
from tests.appliance_under_test import ApplianceUnderTest


def test_a_shard_that_runs_nothing_is_checked(appliance: ApplianceUnderTest) -> None:
    """Its state shows what was observed; runs that waited for it no longer wait."""
    waiting = appliance.submit()
    state, run_id = check_login(appliance.resources, 0)
    assert (state.login, run_id) == (LoginState.PRESENT, None)
    assert appliance.stored(waiting).waiting_for is None


def test_a_shard_that_executes_a_run_is_left_alone(appliance: ApplianceUnderTest) -> None:
    """The run's id is the reason; nothing is started on the engine."""
    run = appliance.submit()
    appliance.store.queue.claim(0, "lease", now=appliance.clock(), lease_seconds=30)
    state, run_id = check_login(appliance.resources, 0)
    assert run_id == run.run_id
    assert state.login is LoginState.UNKNOWN
    assert appliance.containers() == []


def test_a_login_that_was_removed_is_found(appliance: ApplianceUnderTest) -> None:
    """Then the shard takes no runs, and runs show what they wait for."""
    for shard in (0, 1):
        appliance.sign_out(shard)
    run = appliance.submit()
    assert [check_login(appliance.resources, shard)[0].login for shard in (0, 1)] == [LoginState.ABSENT] * 2
    waiting_for = appliance.stored(run).waiting_for
    assert waiting_for is not None
    assert waiting_for.reason == "login"
