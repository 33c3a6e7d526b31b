"""Which run may go on again, and that a shard hears of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.errors import Conflict, NotFound, Unavailable
from moonmind_appliance.models import Actor, LoginState, Run, RunStatus, WaitReason
from moonmind_appliance.runs.retry import retry_run
from tests.fakes import ANN, BOB, NOW, OPERATOR, House, open_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as house:
        yield house


def retry(house: House, run: Run, actor: Actor = ANN, *, draining: bool = False) -> Run:
    house.wakeups.woken.clear()
    return retry_run(house.store, house.wakeups, house.settings, actor, run.run_id, now=NOW, draining=draining)


@pytest.mark.parametrize("actor", [ANN, OPERATOR])
@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_failed_or_cancelled_run_is_queued_again_and_wakes_a_shard(
    house: House, actor: Actor, status: RunStatus
) -> None:
    """By its submitter and by an operator; it keeps its id, and its end is forgotten."""
    run = house.submit(ANN)
    house.end(run, status)
    again = retry(house, run, actor)
    assert (again.run_id, again.status, again.completed_at) == (run.run_id, RunStatus.QUEUED, None)
    assert house.wakeups.woken == [0]


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.NO_CHANGES])
def test_a_run_that_went_well_cannot_be_retried(house: House, status: RunStatus) -> None:
    """409 `run_not_retryable`; no shard is woken."""
    run = house.submit()
    house.end(run, status)
    with pytest.raises(Conflict) as caught:
        retry(house, run)
    assert caught.value.code == "run_not_retryable"
    assert house.wakeups.woken == []


def test_an_open_run_cannot_be_retried(house: House) -> None:
    """Queued and in progress: 409."""
    run = house.submit()
    with pytest.raises(Conflict):
        retry(house, run)
    house.take(run)
    with pytest.raises(Conflict):
        retry(house, run)


def test_somebody_elses_run_is_not_there(house: House) -> None:
    """404, and the run stays as it was."""
    run = house.submit(ANN)
    house.end(run, RunStatus.FAILED)
    with pytest.raises(NotFound):
        retry(house, run, BOB)
    assert house.stored(run).status is RunStatus.FAILED


def test_a_retried_run_says_when_it_waits_for_a_login(house: House) -> None:
    """As a submitted one does."""
    run = house.submit()
    house.end(run, RunStatus.FAILED)
    house.logins(LoginState.DEAD, LoginState.ABSENT, LoginState.ABSENT)
    retry(house, run)
    waits = house.stored(run).waiting_for
    assert waits is not None
    assert waits.reason is WaitReason.LOGIN


def test_a_stopping_appliance_queues_nothing_again(house: House) -> None:
    """503 `draining`."""
    run = house.submit()
    house.end(run, RunStatus.FAILED)
    with pytest.raises(Unavailable) as caught:
        retry(house, run, draining=True)
    assert caught.value.code == "draining"
