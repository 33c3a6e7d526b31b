"""A run that was interrupted before an upgrade continues after it."""

import pytest

from moonmind_appliance.models import PhaseName, RunStatus
from tests.appliance_under_test import FEATURE, ApplianceUnderTest, ends
from tests.containers.fake import FakeExec

TURNS = [PhaseName.SPECKIT_SPECIFY, PhaseName.SPECKIT_PLAN, PhaseName.SPECKIT_TASKS]


@pytest.mark.parametrize("phase", TURNS[1:])
def test_a_run_of_the_version_before_outputs_continues(appliance: ApplianceUnderTest, phase: PhaseName) -> None:
    """It does not repeat finished turns, and its pull request contains what they wrote."""

    def shut_down(_: FakeExec) -> None:
        appliance.executor.stop()

    appliance.agent.acts[phase] = [shut_down]
    run = appliance.submit()
    appliance.work()
    assert appliance.stored(run).status is RunStatus.QUEUED
    with appliance.store.database.write() as connection:
        connection.execute("ALTER TABLE phases DROP COLUMN output")
        connection.execute("DELETE FROM migrations WHERE name = 'm0005_outputs_of_phases'")
    appliance.store.database.migrate()
    appliance.after()
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == [*TURNS[: TURNS.index(phase) + 1], *TURNS[TURNS.index(phase) :]]
    (pull,) = appliance.github.pull_requests(appliance.slug)
    assert pull.title == "Dark mode"
    assert f"`{FEATURE}/spec.md`" in pull.body
    assert "people have eyes" in pull.body
