"""Who may cancel which run, and how the run ends."""

import pytest

from moonmind_appliance.errors import Conflict, DiskFull, NotFound
from moonmind_appliance.models import (
    Actor,
    RunStatus,
)
from moonmind_appliance.runs.cancel import cancel_run
from tests.appliance_under_test import ApplianceUnderTest, InBackground, ends
from tests.fakes import ANN, BOB, NOW, OPERATOR
from tests.scripted_acts import (
    SPECIFY,
    Blocked,
)


@pytest.mark.parametrize("actor", [ANN, OPERATOR])
def test_a_queued_run_is_cancelled_at_once(appliance: ApplianceUnderTest, actor: Actor) -> None:
    """By its submitter and by an operator."""
    run = cancel_run(appliance.resources, actor, appliance.submit(ANN).run_id)
    assert (run.status, run.completed_at) == (RunStatus.CANCELLED, appliance.clock())


def test_a_run_in_progress_is_asked_to_end_and_may_be_asked_twice(appliance: ApplianceUnderTest) -> None:
    """Its heartbeat notices that; until then it stays in progress."""
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
    """The response equals that for an id that does not exist, and the run continues."""
    run = appliance.submit(ANN)
    with pytest.raises(NotFound) as others:
        cancel_run(appliance.resources, BOB, run.run_id)
    with pytest.raises(NotFound) as nobodys:
        cancel_run(appliance.resources, BOB, run.run_id.replace("-", "0"))
    assert str(others.value) == str(nobodys.value).replace(run.run_id.replace("-", "0"), run.run_id)
    assert appliance.stored(run).status is RunStatus.QUEUED


@pytest.mark.parametrize("place", ["clone", SPECIFY, "stage", "push"])
def test_a_cancelled_run_ends_soon_and_leaves_nothing(appliance: ApplianceUnderTest, place: str) -> None:
    """In a turn as in git: its processes end with it, no pull request, one final status; its files expire."""
    blocked = Blocked()
    if place == SPECIFY:
        appliance.agent.acts[SPECIFY] = [blocked]
    else:
        appliance.git_acts[place] = [blocked]
    run = appliance.submit()
    worker = InBackground(appliance.work)
    assert blocked.begun.wait(10)
    cancel_run(appliance.resources, ANN, run.run_id)
    worker.join()
    run = appliance.stored(run)
    assert ends(run) == (RunStatus.CANCELLED, None)
    left = f" It was committing and pushing: the branch {run.branch_name} may be on GitHub."
    assert run.result_summary == f"The run was cancelled.{left if place in {'stage', 'push'} else ''}"
    assert appliance.containers() == []
    assert appliance.github.pull_requests(appliance.slug) == []
    assert all(artifact.expires_at for artifact in appliance.store.artifacts.list(run.run_id))


def test_a_run_that_waits_is_cancelled_at_once(appliance: ApplianceUnderTest) -> None:
    """And stays so when its time has come."""
    run = appliance.submit()
    appliance.engine.fail(DiskFull("full"), method="ensure_volume", at=2)
    appliance.work()
    cancel_run(appliance.resources, ANN, run.run_id)
    appliance.clock.advance(minutes=5)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.CANCELLED, None)
    assert appliance.agent.turns == []
