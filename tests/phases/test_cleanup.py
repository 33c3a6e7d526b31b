"""The containers go; what could not be removed is recorded."""

from moonmind_appliance.errors import EngineError
from moonmind_appliance.models import (
    PhaseName,
    RunStatus,
)
from moonmind_appliance.phases.cleanup import Removed, cleanup
from tests.appliance_under_test import ApplianceUnderTest, ends
from tests.phases.contexts import make_context


def test_cleanup_that_fails_is_recorded_and_changes_no_result(appliance: ApplianceUnderTest) -> None:
    """The pull request is open: the run succeeded, and says what it could not clean."""
    appliance.engine.fail(EngineError("device or resource busy"), method="remove", at=2, times=4)
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    problems = run.phase(PhaseName.CLEANUP).metadata["not_cleaned"]
    assert len(problems) == 2
    assert sum("device or resource busy" in problem for problem in problems) == 1
    assert f"{run.run_id}: volume moonmind-egress-{run.run_id} is in use" in problems[-1]


def test_the_volume_of_the_egress_container_goes_in_any_case() -> None:
    """A retry does not need its content."""
    ctx = make_context()
    ctx.engine.ensure_volume(ctx.names.egress_volume, {})
    cleanup(ctx, Removed())
    assert not ctx.engine.remove_volume(ctx.names.egress_volume)


def test_the_volumes_are_removed_if_a_retry_must_start_at_the_clone() -> None:
    """The context says so; else they are kept."""
    for keeps in (True, False):
        ctx = make_context(keep_volumes=keeps)
        for volume in (ctx.names.workspace_volume, ctx.names.git_volume):
            ctx.engine.ensure_volume(volume, {})
        result = cleanup(ctx, Removed())
        assert len(result.metadata["volumes_kept"]) == (2 if keeps else 0)
        assert ctx.engine.remove_volume(ctx.names.git_volume) is keeps
