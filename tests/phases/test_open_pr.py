"""One pull request for each branch, a draft where GitHub allows it."""

from moonmind_appliance.models import (
    PhaseName,
    RunStatus,
)
from moonmind_appliance.models.failure import FailureCode
from moonmind_appliance.rehearsal.github import Fault
from tests.appliance_under_test import ApplianceUnderTest, ends
from tests.scripted_acts import (
    interrupt_after,
    retry,
    says,
)


def test_a_run_without_changes_stays_so_after_an_interruption(appliance: ApplianceUnderTest) -> None:
    """The next attempt opens no pull request for a branch that was never pushed."""
    appliance.git_acts["stage"] = [says(changed=False, patch_bytes=0, files=[], file_count=0)]
    run = appliance.submit()
    interrupt_after(appliance, run, PhaseName.COMMIT_PUSH)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.NO_CHANGES, None)
    assert appliance.github.pull_requests(appliance.slug) == []


def test_a_pull_request_whose_answer_was_lost_is_found_again(appliance: ApplianceUnderTest) -> None:
    """Neither failed nor opened twice."""
    appliance.github.inject(Fault.LOST_ANSWER, times=1)
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert len(appliance.github.pull_requests(appliance.slug)) == 1
    assert "response was lost" in (run.result_summary or "")


def test_a_repository_without_drafts_gets_a_marked_pull_request(appliance: ApplianceUnderTest) -> None:
    """An ordinary one with [Draft] in its title, and the summary says so."""
    appliance.github.inject(Fault.DRAFT_REFUSED)
    try:
        run = appliance.run()
    finally:
        appliance.github.clear(Fault.DRAFT_REFUSED)
    (pull,) = appliance.github.pull_requests(appliance.slug)
    assert (pull.draft, pull.title) == (False, "[Draft] Dark mode")
    assert "does not support draft pull requests" in (run.result_summary or "")


def test_github_that_cannot_be_reached_for_the_pull_request_is_retried_without_a_push(
    appliance: ApplianceUnderTest,
) -> None:
    """The branch is there: the retry opens the pull request, and starts no container."""
    appliance.git_acts["push"] = [lambda _process: appliance.github.inject(Fault.UNREACHABLE)]
    try:
        run = appliance.run()
    finally:
        appliance.github.clear(Fault.UNREACHABLE)
    assert ends(run) == (RunStatus.FAILED, FailureCode.GITHUB_UNREACHABLE.value)
    appliance.engine.calls.clear()
    again = retry(appliance, run)
    assert ends(again) == (RunStatus.SUCCEEDED, None)
    assert "start" not in {method for method, _ in appliance.engine.calls}
