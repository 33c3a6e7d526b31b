"""Who may end which run, and what becomes of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.errors import Conflict, NotFound
from moonmind_appliance.models import Actor, RunStatus
from moonmind_appliance.runs.cancel import cancel_run
from tests.appliance_under_test import ApplianceUnderTest, open_appliance
from tests.fakes import ANN, BOB, NOW, OPERATOR


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[ApplianceUnderTest]:
    """Without GitHub: nothing is executed."""
    with open_appliance(tmp_path) as appliance:
        yield appliance


@pytest.mark.parametrize("actor", [ANN, OPERATOR])
def test_a_queued_run_is_cancelled_at_once(appliance: ApplianceUnderTest, actor: Actor) -> None:
    """By its submitter and by an operator."""
    run = cancel_run(appliance.resources, actor, appliance.submit(ANN).run_id)
    assert (run.status, run.completed_at) == (RunStatus.CANCELLED, appliance.clock())


def test_a_run_in_progress_is_asked_to_end_and_may_be_asked_twice(appliance: ApplianceUnderTest) -> None:
    """Its heartbeat hears of it; until then it stays in progress."""
    run = appliance.submit()
    lease = appliance.take(run)
    assert cancel_run(appliance.resources, ANN, run.run_id).status is RunStatus.IN_PROGRESS
    assert cancel_run(appliance.resources, ANN, run.run_id).cancel_requested_at == appliance.clock()
    assert appliance.store.queue.heartbeat(run.run_id, lease, now=NOW, lease_seconds=60)


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.NO_CHANGES, RunStatus.CANCELLED])
def test_a_run_that_ended_cannot_be_cancelled(appliance: ApplianceUnderTest, status: RunStatus) -> None:
    """409 `run_final`."""
    run = appliance.submit()
    appliance.end(run, status)
    with pytest.raises(Conflict) as caught:
        cancel_run(appliance.resources, ANN, run.run_id)
    assert caught.value.code == "run_final"


def test_another_users_run_is_not_found(appliance: ApplianceUnderTest) -> None:
    """The answer is word for word that for an id that does not exist, and the run goes on."""
    run = appliance.submit(ANN)
    with pytest.raises(NotFound) as others:
        cancel_run(appliance.resources, BOB, run.run_id)
    with pytest.raises(NotFound) as nobodys:
        cancel_run(appliance.resources, BOB, run.run_id.replace("-", "0"))
    assert str(others.value) == str(nobodys.value).replace(run.run_id.replace("-", "0"), run.run_id)
    assert appliance.stored(run).status is RunStatus.QUEUED
