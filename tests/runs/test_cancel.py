"""Who may end which run, and what becomes of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.errors import Conflict, NotFound
from moonmind_appliance.models import Actor, RunStatus
from moonmind_appliance.runs.cancel import cancel_run
from tests.fakes import ANN, BOB, NOW, OPERATOR, House, open_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as house:
        yield house


@pytest.mark.parametrize("actor", [ANN, OPERATOR])
def test_a_queued_run_is_cancelled_at_once(house: House, actor: Actor) -> None:
    """By its submitter and by an operator."""
    run = cancel_run(house.store, actor, house.submit(ANN).run_id, now=NOW)
    assert (run.status, run.completed_at) == (RunStatus.CANCELLED, NOW)


def test_a_run_in_progress_is_asked_to_end_and_may_be_asked_twice(house: House) -> None:
    """Its heartbeat hears of it; until then it stays in progress."""
    run = house.submit()
    lease = house.take(run)
    assert cancel_run(house.store, ANN, run.run_id, now=NOW).status is RunStatus.IN_PROGRESS
    assert cancel_run(house.store, ANN, run.run_id, now=NOW).cancel_requested_at == NOW
    assert house.store.queue.heartbeat(run.run_id, lease, now=NOW, lease_seconds=60)


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.NO_CHANGES, RunStatus.CANCELLED])
def test_a_run_that_ended_cannot_be_cancelled(house: House, status: RunStatus) -> None:
    """409 `run_final`."""
    run = house.submit()
    house.end(run, status)
    with pytest.raises(Conflict) as caught:
        cancel_run(house.store, ANN, run.run_id, now=NOW)
    assert caught.value.code == "run_final"


def test_somebody_elses_run_is_not_there(house: House) -> None:
    """The answer is word for word that for an id that does not exist, and the run goes on."""
    run = house.submit(ANN)
    with pytest.raises(NotFound) as others:
        cancel_run(house.store, BOB, run.run_id, now=NOW)
    with pytest.raises(NotFound) as nobodys:
        cancel_run(house.store, BOB, run.run_id.replace("-", "0"), now=NOW)
    assert str(others.value) == str(nobodys.value).replace(run.run_id.replace("-", "0"), run.run_id)
    assert house.stored(run).status is RunStatus.QUEUED
