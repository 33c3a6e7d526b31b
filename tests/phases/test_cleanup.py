"""The containers go; what could not be removed is recorded."""

from moonmind_appliance.errors import EngineError
from moonmind_appliance.models import (
    PhaseName,
    RunStatus,
)
from tests.appliance_under_test import ApplianceUnderTest, ends


def test_cleanup_that_fails_is_recorded_and_changes_no_result(appliance: ApplianceUnderTest) -> None:
    """The pull request is open: the run succeeded, and says what it could not clean."""
    appliance.engine.fail(EngineError("device or resource busy"), method="remove", at=2, times=2)
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    problems = run.phase(PhaseName.CLEANUP).metadata["not_cleaned"]
    assert len(problems) == 2
    assert all("device or resource busy" in problem for problem in problems)
