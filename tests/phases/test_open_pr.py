"""One pull request for each branch, a draft where GitHub allows it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github import GitHub
from moonmind_appliance.models import (
    PhaseName,
    RunStatus,
    WaitReason,
)
from moonmind_appliance.models.failure import FailureCode, WhoActs
from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from tests.appliance_under_test import SPEC_KIT, TOKEN, ApplianceUnderTest, ends, open_appliance
from tests.in_container.git_fixture import git
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


def test_all_files_of_the_change_are_counted(appliance: ApplianceUnderTest) -> None:
    """The commit keeps 200 of 304 names, and the pull request lists 100."""
    files = [{"path": f"specs/001-dark-mode/{n}.md", "status": "A"} for n in range(304)]
    appliance.git_acts["stage"] = [says(files=files, file_count=304)]
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    (pull,) = appliance.github.pull_requests(appliance.slug)
    assert "… and 204 more." in pull.body


def test_a_pull_request_whose_answer_was_lost_is_found_again(appliance: ApplianceUnderTest) -> None:
    """Neither failed nor opened twice."""
    appliance.github.inject(Fault.LOST_ANSWER, times=1)
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert len(appliance.github.pull_requests(appliance.slug)) == 1
    assert "response was lost" in (run.result_summary or "")


@pytest.mark.parametrize(("used", "prompts"), [("repository", False), ("image", True)])
def test_the_version_of_the_images_prompts_is_named_only_where_they_are_used(
    appliance: ApplianceUnderTest,
    used: str,
    prompts: bool,  # noqa: FBT001 - a table
) -> None:
    """A repository's own Spec Kit has another version."""
    appliance.git_acts["clone"] = [lambda _: {"spec_kit": {**SPEC_KIT, "used": used}}]
    appliance.run()
    (pull,) = appliance.github.pull_requests(appliance.slug)
    (line,) = (line for line in pull.body.splitlines() if line.startswith("Agent: "))
    # The scripted agent has no prompts of its own: their version is "none".
    assert ("scripted 1, none." in line) is prompts


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


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.TOO_MANY_REQUESTS])
def test_the_pull_request_is_opened_later_without_another_push(appliance: ApplianceUnderTest, fault: Fault) -> None:
    """The branch stays; the run waits and then opens the pull request, without a container."""
    appliance.git_acts["push"] = [lambda _process: appliance.github.inject(fault, retry_after=90)]
    try:
        run = appliance.run()
    finally:
        appliance.github.clear(fault)
    assert run.status is RunStatus.QUEUED
    assert run.waiting_for is not None
    assert run.waiting_for.reason is WaitReason.GITHUB
    assert f"The branch {run.branch_name} is pushed." in run.waiting_for.detail
    appliance.engine.calls.clear()
    appliance.clock.advance(seconds=100)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.git_verbs == ["clone", "stage", "push"]
    assert "start" not in {method for method, _ in appliance.engine.calls}
    assert len(appliance.github.pull_requests(appliance.slug)) == 1


def test_labels_are_added_after_a_rate_limit(tmp_path: Path, github: StandInGitHub) -> None:
    """The pull request exists and is shown while the run waits; it is not opened twice."""
    with open_appliance(tmp_path / "data", github, pull_request_labels=("spec",)) as appliance:
        run = appliance.submit()
        answered = ExceptLabels(appliance.resources.github)
        appliance.with_resources(github=answered)
        appliance.work()
        waiting = appliance.stored(run)
        assert waiting.waiting_for is not None
        assert (waiting.waiting_for.reason, waiting.failure) == (WaitReason.GITHUB, None)
        (pull,) = github.pull_requests(appliance.slug)
        assert (pull.html_url, pull.labels) == (waiting.pull_request_url, ())
        answered.refuses = False
        appliance.clock.advance(hours=2)
        appliance.work()
        assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
        assert [each.labels for each in github.pull_requests(appliance.slug)] == [("spec",)]


def test_labels_do_not_fail_a_run_that_has_waited_long_enough(tmp_path: Path, github: StandInGitHub) -> None:
    """The pull request is open: the run succeeds, and its metadata say why there are no labels."""
    with open_appliance(tmp_path / "data", github, pull_request_labels=("spec",)) as appliance:
        run = appliance.submit()
        appliance.with_resources(github=ExceptLabels(appliance.resources.github, status=503))
        for _ in range(7):
            appliance.work()
            appliance.clock.advance(hours=1)
        ended = appliance.stored(run)
        assert ends(ended) == (RunStatus.SUCCEEDED, None)
        assert ended.phase(PhaseName.OPEN_PR).metadata["labels_refused"] == "GitHub returned 503"


class ExceptLabels:
    """GitHub's client, which meets a rate limit or another status when it adds labels."""

    def __init__(self, github: GitHub | None, status: int = 429) -> None:
        self.refuses = True
        self._status = status
        self._github = github

    def __getattr__(self, name: str) -> Any:
        return getattr(self._github, name)

    def add_labels(self, slug: str, number: int, labels: Sequence[str]) -> None:
        assert self._github is not None
        if self.refuses:
            raise GitHubError(f"GitHub returned {self._status}", status=self._status)
        self._github.add_labels(slug, number, labels)


@pytest.mark.parametrize(
    ("fault", "code", "who"),
    [
        (Fault.SSO_REQUIRED, FailureCode.GITHUB_SSO_REQUIRED, WhoActs.OPERATOR),
        (Fault.TOKEN_PERMISSION, FailureCode.GITHUB_TOKEN_INSUFFICIENT, WhoActs.OPERATOR),
        (Fault.TAKEN_DOWN, FailureCode.REPOSITORY_BLOCKED, WhoActs.GITHUB_ADMIN),
    ],
)
def test_a_refusal_after_the_push_says_that_the_branch_is_pushed(
    appliance: ApplianceUnderTest, fault: Fault, code: FailureCode, who: WhoActs
) -> None:
    """With the same code and person as before the push; the retry opens the pull request."""
    appliance.git_acts["push"] = [lambda _process: appliance.github.inject(fault)]
    try:
        run = appliance.run()
    finally:
        appliance.github.clear(fault)
    assert run.failure is not None
    assert (run.failure.code, run.failure.who_acts) == (code, who)
    assert f"The branch {run.branch_name} is pushed." in run.failure.message
    assert ends(retry(appliance, run)) == (RunStatus.SUCCEEDED, None)


@pytest.mark.parametrize("volumes", [True, False])
def test_a_branch_that_was_deleted_is_pushed_again(appliance: ApplianceUnderTest, volumes: bool) -> None:  # noqa: FBT001 - a table
    """A retry after a person deleted it: one pull request, and model turns only if the workspace is gone, too."""
    appliance.git_acts["push"] = [lambda _process: appliance.github.inject(Fault.SSO_REQUIRED)]
    try:
        run = appliance.run()
    finally:
        appliance.github.clear(Fault.SSO_REQUIRED)
    assert run.status is RunStatus.FAILED
    git(appliance.github.git_folder(appliance.slug), "update-ref", "-d", f"refs/heads/{run.branch_name}")
    if not volumes:
        for volume in (f"moonmind-run-{run.run_id}", f"moonmind-git-{run.run_id}"):
            appliance.engine.remove_volume(volume)
    appliance.agent.turns.clear()
    appliance.git_verbs.clear()
    again = retry(appliance, run)
    assert ends(again) == (RunStatus.SUCCEEDED, None)
    assert again.branch_name == run.branch_name
    assert (len(appliance.agent.turns), appliance.git_verbs[-2:]) == (0 if volumes else 3, ["stage", "push"])
    assert len(appliance.github.pull_requests(appliance.slug)) == 1
    assert appliance.containers() == []


def test_a_branch_that_is_deleted_every_time(appliance: ApplianceUnderTest) -> None:
    """It is pushed again once in each attempt; then the run fails and says why."""
    appliance.publishes = False
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.PULL_REQUEST_REFUSED.value)
    assert run.failure is not None
    assert f"The branch {run.branch_name} was deleted on GitHub" in run.failure.message
    assert appliance.git_verbs.count("push") == 2


@pytest.mark.parametrize(("state", "states"), [("open", ["open"]), ("closed", ["closed", "open"])])
def test_a_pull_request_from_an_earlier_attempt(appliance: ApplianceUnderTest, state: str, states: list[str]) -> None:
    """An open one is used; one that a person closed stays closed, and the retry opens another."""
    appliance.git_acts["push"] = [lambda _process: appliance.github.inject(Fault.SSO_REQUIRED)]
    try:
        run = appliance.run()
    finally:
        appliance.github.clear(Fault.SSO_REQUIRED)
    client = appliance.resources.github
    assert client is not None
    client.create_pull_request(appliance.slug, title="x", body="x", head=run.branch_name or "", base="main", draft=True)
    address = f"{appliance.github.api_url}/repos/{appliance.slug}/pulls/1"
    answer = httpx.patch(address, json={"state": state}, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == httpx.codes.OK
    assert ends(retry(appliance, run)) == (RunStatus.SUCCEEDED, None)
    assert [pull.state for pull in appliance.github.pull_requests(appliance.slug)] == states
