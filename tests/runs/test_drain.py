"""A drained appliance finishes its runs and starts no others until it is resumed."""

from moonmind_appliance.execution.recover import recover
from moonmind_appliance.models import LoginState, PhaseName, RunStatus, WaitingFor, WaitReason
from moonmind_appliance.runs.drain import drain, resume
from moonmind_appliance.runs.pause import pause_shard
from tests.appliance_under_test import ApplianceUnderTest
from tests.fakes import ANN
from tests.scripted_acts import PLAN, interrupt_after, retry, says

DRAINED = WaitingFor(WaitReason.DRAINED, None, "an operator drained the appliance")


def test_runs_wait_until_the_appliance_is_resumed(appliance: ApplianceUnderTest) -> None:
    """Those from before and from after the drain; each shows the reason, and no shard is woken for it."""
    before = appliance.submit()
    drain(appliance.resources)
    appliance.wakeups.woken.clear()
    after = appliance.submit(shard=0)
    for shard in (0, 1):
        appliance.work(shard)
    appliance.minute_passes()
    assert [appliance.stored(run).waiting_for for run in (before, after)] == [DRAINED, DRAINED]
    assert appliance.wakeups.woken == []
    resume(appliance.resources)
    assert [appliance.stored(run).waiting_for for run in (before, after)] == [None, None]
    assert 0 in appliance.wakeups.woken
    appliance.work()
    assert [appliance.stored(run).status for run in (before, after)] == [RunStatus.SUCCEEDED] * 2


def test_a_claim_in_the_same_moment(appliance: ApplianceUnderTest) -> None:
    """The claim itself checks it: a drain after the worker's own check also counts."""
    appliance.submit()
    drain(appliance.resources)
    assert appliance.store.queue.claim(0, "lease", now=appliance.clock(), lease_seconds=9) is None


def test_a_run_in_progress_is_finished(appliance: ApplianceUnderTest) -> None:
    """A drain in the middle of a run ends nothing; the next run waits."""
    first, second = appliance.submit(), appliance.submit()

    def drain_now(_: object) -> None:
        drain(appliance.resources)

    appliance.agent.acts[PLAN] = [drain_now]
    appliance.work()
    assert appliance.stored(first).status is RunStatus.SUCCEEDED
    assert appliance.stored(second).waiting_for == DRAINED


def test_a_run_that_must_leave_its_shard_waits(appliance: ApplianceUnderTest) -> None:
    """Its login dies while the appliance drains: no other shard continues it before the appliance is resumed."""
    run = appliance.submit()

    def drain_now(_: object) -> dict[str, str]:
        drain(appliance.resources)
        return {"verdict": "login_dead", "message": "revoked"}

    appliance.agent.acts[PLAN] = [drain_now]
    appliance.work(0)
    assert appliance.stored(run).waiting_for == DRAINED
    resume(appliance.resources)
    appliance.work(1)
    assert appliance.stored(run).status is RunStatus.SUCCEEDED


def test_a_restart_changes_nothing(appliance: ApplianceUnderTest) -> None:
    """The run that the old process left is queued, and waits."""
    run = appliance.submit()
    interrupt_after(appliance, run, PhaseName.GIT_CLONE)
    drain(appliance.resources)
    appliance.after()
    recover(appliance.resources)
    appliance.work()
    assert (appliance.stored(run).status, appliance.stored(run).waiting_for) == (RunStatus.QUEUED, DRAINED)


def test_a_retry_waits(appliance: ApplianceUnderTest) -> None:
    """It is accepted, as a submission is."""
    appliance.agent.acts[PLAN] = [says(verdict="failed", exit_code=1)]
    run = appliance.run(actor=ANN)
    drain(appliance.resources)
    assert retry(appliance, run).waiting_for == DRAINED


def test_the_reason_after_a_resume_is_the_current_one(appliance: ApplianceUnderTest) -> None:
    """A shard that was paused stays paused, and a missing login still counts."""
    run = appliance.submit(shard=0)
    pause_shard(appliance.resources, 0)
    drain(appliance.resources)
    assert appliance.stored(run).waiting_for == DRAINED
    resume(appliance.resources)
    assert appliance.stored(run).waiting_for == WaitingFor(WaitReason.SHARD_BUSY, None, "shard 0 is paused")
    appliance.know_logins(LoginState.ABSENT, LoginState.ABSENT)
    drain(appliance.resources)
    resume(appliance.resources)
    waits = appliance.stored(run).waiting_for
    assert waits is not None
    assert waits.reason is WaitReason.LOGIN


def test_logins_are_checked_meanwhile(appliance: ApplianceUnderTest) -> None:
    """They stay usable, so that runs start at once after a long drain."""
    drain(appliance.resources)
    appliance.clock.advance(minutes=10)
    appliance.minute_passes()
    assert appliance.store.shards.get(0).login is LoginState.PRESENT
