"""Which run may go on again, and that a shard hears of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.errors import Conflict, NotFound, Unavailable
from moonmind_appliance.models import Actor, LoginState, Run, RunStatus, WaitReason
from moonmind_appliance.runs.retry import retry_run
from tests.appliance_under_test import ApplianceUnderTest, open_appliance
from tests.fakes import ANN, BOB, OPERATOR


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[ApplianceUnderTest]:
    """Without GitHub: nothing is executed."""
    with open_appliance(tmp_path) as appliance:
        yield appliance


def retry(appliance: ApplianceUnderTest, run: Run, actor: Actor = ANN) -> Run:
    appliance.wakeups.woken.clear()
    return retry_run(appliance.resources, actor, run.run_id)


@pytest.mark.parametrize("actor", [ANN, OPERATOR])
@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_failed_or_cancelled_run_is_queued_again_and_wakes_a_shard(
    appliance: ApplianceUnderTest, actor: Actor, status: RunStatus
) -> None:
    """By its submitter and by an operator; it keeps its id, and its end is forgotten."""
    run = appliance.submit(ANN)
    appliance.end(run, status)
    again = retry(appliance, run, actor)
    assert (again.run_id, again.status, again.completed_at) == (run.run_id, RunStatus.QUEUED, None)
    assert appliance.wakeups.woken == [0]


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.NO_CHANGES])
def test_a_run_that_went_well_cannot_be_retried(appliance: ApplianceUnderTest, status: RunStatus) -> None:
    """409 `run_not_retryable`; no shard is woken."""
    run = appliance.submit()
    appliance.end(run, status)
    with pytest.raises(Conflict) as caught:
        retry(appliance, run)
    assert caught.value.code == "run_not_retryable"
    assert appliance.wakeups.woken == []


def test_an_open_run_cannot_be_retried(appliance: ApplianceUnderTest) -> None:
    """Queued and in progress: 409."""
    run = appliance.submit()
    with pytest.raises(Conflict):
        retry(appliance, run)
    appliance.take(run)
    with pytest.raises(Conflict):
        retry(appliance, run)


def test_another_users_run_is_not_found(appliance: ApplianceUnderTest) -> None:
    """404, and the run stays as it was."""
    run = appliance.submit(ANN)
    appliance.end(run, RunStatus.FAILED)
    with pytest.raises(NotFound):
        retry(appliance, run, BOB)
    assert appliance.stored(run).status is RunStatus.FAILED


def test_a_retried_run_shows_that_it_waits_for_a_login(appliance: ApplianceUnderTest) -> None:
    """As a submitted one does."""
    run = appliance.submit()
    appliance.end(run, RunStatus.FAILED)
    appliance.know_logins(LoginState.DEAD, LoginState.ABSENT, LoginState.ABSENT)
    retry(appliance, run)
    waits = appliance.stored(run).waiting_for
    assert waits is not None
    assert waits.reason is WaitReason.LOGIN


def test_a_stopping_appliance_queues_nothing_again(appliance: ApplianceUnderTest) -> None:
    """503 `draining`."""
    run = appliance.submit()
    appliance.end(run, RunStatus.FAILED)
    appliance.resources.stopping.set()
    with pytest.raises(Unavailable) as caught:
        retry(appliance, run)
    assert caught.value.code == "draining"
