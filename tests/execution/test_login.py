"""What a run finds out about its shard's login."""

from moonmind_appliance.execution.login import ShardLoginRecorder
from moonmind_appliance.models import LoginCheck, LoginState, WaitReason
from tests.appliance_under_test import ApplianceUnderTest


def test_a_usable_login_has_no_problem(appliance: ApplianceUnderTest) -> None:
    """Its secrets are redacted from then on."""
    recorder = ShardLoginRecorder(appliance.resources, 0)
    assert recorder.record(b"rt_loginOfThisTest-0123456789") == ""
    assert appliance.store.shards.get(0).login is LoginState.PRESENT
    assert "loginOfThisTest" not in appliance.resources.redactor.redact_text("x rt_loginOfThisTest-0123456789 y")


def test_a_missing_login_is_a_problem_and_runs_wait_for_one(appliance: ApplianceUnderTest) -> None:
    """The reason of waiting runs is updated at once, not with the next minute."""
    appliance.know_logins(LoginState.PRESENT, LoginState.ABSENT)
    run = appliance.submit()
    assert ShardLoginRecorder(appliance.resources, 0).record(None) != ""
    assert appliance.store.shards.get(0).login is LoginState.ABSENT
    waiting = appliance.stored(run).waiting_for
    assert waiting is not None
    assert waiting.reason is WaitReason.LOGIN


def test_a_brokers_renewal_is_recorded_without_secrets(appliance: ApplianceUnderTest) -> None:
    """A refused one makes the login dead, and waiting runs report it at once."""
    recorder = ShardLoginRecorder(appliance.resources, 0)
    secret = "rt_loginOfABroker-0123456789"
    recorder.record(secret.encode())
    recorder.checked(LoginCheck(alive=True, refreshed=True))
    assert appliance.store.shards.get(0).last_refresh_at == appliance.clock()
    appliance.know_logins(LoginState.PRESENT, LoginState.ABSENT)
    run = appliance.submit()
    recorder.checked(LoginCheck(alive=False, words=f"{secret} has expired"))
    known = appliance.store.shards.get(0)
    assert known.login is LoginState.DEAD
    assert secret not in known.login_reason
    assert "has expired" in known.login_reason
    waiting = appliance.stored(run).waiting_for
    assert waiting is not None
    assert waiting.reason is WaitReason.LOGIN
