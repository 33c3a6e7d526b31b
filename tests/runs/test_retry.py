"""Which run may be retried, that a shard is woken, and that it continues at the first unfinished phase."""

from datetime import timedelta
from typing import Any

import pytest

from moonmind_appliance.errors import Conflict, NotFound, Unavailable
from moonmind_appliance.models import (
    Actor,
    LoginState,
    Run,
    RunStatus,
    WaitReason,
)
from moonmind_appliance.runs.cancel import cancel_run
from moonmind_appliance.runs.retry import retry_run
from tests.appliance_under_test import ApplianceUnderTest, InBackground, ends
from tests.fakes import ANN, BOB, OPERATOR
from tests.scripted_acts import (
    PLAN,
    SPECIFY,
    TASKS,
    Blocked,
    git_fails,
    retry,
    says,
)


def queue_again(appliance: ApplianceUnderTest, run: Run, actor: Actor = ANN) -> Run:
    appliance.wakeups.woken.clear()
    return retry_run(appliance.resources, actor, run.run_id)


@pytest.mark.parametrize("actor", [ANN, OPERATOR])
@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_failed_or_cancelled_run_is_queued_again_and_wakes_a_shard(
    appliance: ApplianceUnderTest, actor: Actor, status: RunStatus
) -> None:
    """By its submitter and by an operator; it keeps its id, and its end is cleared."""
    run = appliance.submit(ANN)
    appliance.end(run, status)
    again = queue_again(appliance, run, actor)
    assert (again.run_id, again.status, again.completed_at) == (run.run_id, RunStatus.QUEUED, None)
    assert appliance.wakeups.woken == [0]


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.NO_CHANGES])
def test_a_run_that_went_well_cannot_be_retried(appliance: ApplianceUnderTest, status: RunStatus) -> None:
    """409 `run_not_retryable`; no shard is woken."""
    run = appliance.submit()
    appliance.end(run, status)
    with pytest.raises(Conflict) as caught:
        queue_again(appliance, run)
    assert caught.value.code == "run_not_retryable"
    assert appliance.wakeups.woken == []


def test_a_run_whose_text_was_removed_cannot_be_retried(appliance: ApplianceUnderTest) -> None:
    """409 `specification_removed`. The same submission with its key still returns the run."""
    run = appliance.submit(idempotency_key="once")
    appliance.end(run, RunStatus.FAILED)
    appliance.store.retention.remove_texts([run.run_id], appliance.clock() + timedelta(seconds=1))
    with pytest.raises(Conflict, match="removed after TEXT_RETENTION") as caught:
        queue_again(appliance, run)
    assert caught.value.code == "specification_removed"
    again = appliance.submit(idempotency_key="once")
    assert (again.run_id, again.status) == (run.run_id, RunStatus.FAILED)
    with pytest.raises(Conflict) as reused:
        appliance.submit(idempotency_key="once", specify_text="Another text.")
    assert reused.value.code == "idempotency_key_reused"


def test_an_open_run_cannot_be_retried(appliance: ApplianceUnderTest) -> None:
    """Queued and in progress: 409."""
    run = appliance.submit()
    with pytest.raises(Conflict):
        queue_again(appliance, run)
    appliance.take(run)
    with pytest.raises(Conflict):
        queue_again(appliance, run)


def test_another_users_run_is_not_found(appliance: ApplianceUnderTest) -> None:
    """404, and the run is unchanged."""
    run = appliance.submit(ANN)
    appliance.end(run, RunStatus.FAILED)
    with pytest.raises(NotFound):
        queue_again(appliance, run, BOB)
    assert appliance.stored(run).status is RunStatus.FAILED


def test_a_retried_run_shows_that_it_waits_for_a_login(appliance: ApplianceUnderTest) -> None:
    """As a submitted one does."""
    run = appliance.submit()
    appliance.end(run, RunStatus.FAILED)
    appliance.know_logins(LoginState.DEAD, LoginState.ABSENT, LoginState.ABSENT)
    queue_again(appliance, run)
    waits = appliance.stored(run).waiting_for
    assert waits is not None
    assert waits.reason is WaitReason.LOGIN


def test_a_stopping_appliance_queues_nothing_again(appliance: ApplianceUnderTest) -> None:
    """503 `draining`."""
    run = appliance.submit()
    appliance.end(run, RunStatus.FAILED)
    appliance.resources.stopping.set()
    with pytest.raises(Unavailable) as caught:
        queue_again(appliance, run)
    assert caught.value.code == "draining"


def test_a_cancelled_run_can_be_retried(appliance: ApplianceUnderTest) -> None:
    """It goes on at the phase that was cut."""
    blocked = Blocked()
    appliance.agent.acts[PLAN] = [blocked]
    run = appliance.submit()
    worker = InBackground(appliance.work)
    assert blocked.begun.wait(10)
    cancel_run(appliance.resources, ANN, run.run_id)
    worker.join()
    assert ends(retry(appliance, run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == [SPECIFY, PLAN, PLAN, TASKS]


@pytest.mark.parametrize(
    ("arrange", "first", "second"),
    [
        (lambda w: w.git_acts["clone"].append(git_fails("fatal: x")), [], [SPECIFY, PLAN, TASKS]),
        (lambda w: w.agent.acts[SPECIFY].append(says(verdict="failed")), [SPECIFY], [SPECIFY, PLAN, TASKS]),
        (lambda w: w.agent.acts[TASKS].append(says(verdict="failed")), [SPECIFY, PLAN, TASKS], [TASKS]),
        (lambda w: w.git_acts["push"].append(git_fails("fatal: x")), [SPECIFY, PLAN, TASKS], []),
    ],
)
def test_a_retried_run_continues_at_the_failed_phase(
    appliance: ApplianceUnderTest, arrange: Any, first: Any, second: Any
) -> None:
    """And finishes: no turn that went well is paid twice."""
    arrange(appliance)
    run = appliance.run()
    assert run.status is RunStatus.FAILED
    assert appliance.agent.turns == first
    appliance.agent.turns.clear()
    again = retry(appliance, run)
    assert ends(again) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == second
    assert all(artifact.expires_at for artifact in appliance.store.artifacts.list(run.run_id))


def test_each_attempt_keeps_its_own_logs(appliance: ApplianceUnderTest) -> None:
    """What the first one said can still be read."""
    appliance.agent.acts[PLAN] = [says(verdict="failed", message="first words")]
    again = retry(appliance, appliance.run())
    names = {artifact.name: artifact for artifact in appliance.store.artifacts.list(again.run_id)}
    assert {"speckit_plan.stdout.jsonl", "speckit_plan.attempt-2.stdout.jsonl"} <= set(names)
    first = appliance.resources.files.path(names["speckit_plan.stdout.jsonl"].storage_path).read_text()
    assert "first words" in first
    assert again.phase(PLAN).attempt == 2
