"""A job that cannot succeed fails before any model time is used."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from moonmind_appliance.github import Repository
from moonmind_appliance.models import (
    LoginState,
    Run,
    RunStatus,
)
from moonmind_appliance.models.failure import FailureCode, WhoActs
from moonmind_appliance.phases.prepare_job import prepare_job
from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from tests.appliance_under_test import ApplianceUnderTest, ends, open_appliance
from tests.in_container.git_fixture import git
from tests.phases.contexts import make_context
from tests.scripted_acts import retry


def test_a_missing_image_is_reported_before_any_turn(appliance: ApplianceUnderTest) -> None:
    """At the first phase."""
    appliance.work()
    appliance.engine.images.clear()
    for shard in appliance.resources.shards:
        assert appliance.store.shards.get(shard.index).login in (LoginState.PRESENT, LoginState.UNKNOWN)
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.IMAGE_MISSING.value)
    assert appliance.agent.turns == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"repository": "acme/nowhere"}, FailureCode.REPOSITORY_NOT_FOUND),
        ({"base_branch": "nowhere"}, FailureCode.BASE_BRANCH_NOT_FOUND),
    ],
)
def test_what_cannot_end_well_is_refused_first(
    appliance: ApplianceUnderTest, fields: dict[str, str], code: FailureCode
) -> None:
    """No container, no turn."""
    assert ends(appliance.run(**fields)) == (RunStatus.FAILED, code.value)
    assert appliance.agent.turns == []
    assert appliance.git_verbs == []


def create_branch(appliance: ApplianceUnderTest, branch: str) -> None:
    git(appliance.github.git_folder(appliance.slug), "update-ref", f"refs/heads/{branch}", "main")


def assert_refused_first(appliance: ApplianceUnderTest, run: Run) -> None:
    """No container, no turn, and no claim that something is pushed."""
    assert appliance.agent.turns == []
    assert appliance.git_verbs == []
    assert run.failure is not None
    assert "is pushed" not in f"{run.failure.message} {run.failure.next_step}"


ACCESS = [
    (Fault.SSO_REQUIRED, FailureCode.GITHUB_SSO_REQUIRED, WhoActs.OPERATOR, "https://github.com/orgs/acme/sso?auth"),
    (Fault.TAKEN_DOWN, FailureCode.REPOSITORY_BLOCKED, WhoActs.GITHUB_ADMIN, "dmca https://github.com/github/dmca/"),
    (Fault.REPOSITORY_DISABLED, FailureCode.REPOSITORY_BLOCKED, WhoActs.GITHUB_ADMIN, "tos https://github.com/tos"),
    (Fault.ACCOUNT_SUSPENDED, FailureCode.GITHUB_ACCOUNT_SUSPENDED, WhoActs.OPERATOR, "account was suspended"),
    (Fault.IP_NOT_ALLOWED, FailureCode.GITHUB_IP_NOT_ALLOWED, WhoActs.GITHUB_ADMIN, "`acme` organization"),
    (Fault.TOKEN_LIFETIME, FailureCode.GITHUB_TOKEN_INSUFFICIENT, WhoActs.OPERATOR, "personal-access-tokens/12885303"),
    (Fault.TOKEN_PERMISSION, FailureCode.GITHUB_TOKEN_INSUFFICIENT, WhoActs.OPERATOR, "permissions: contents=read."),
]


@pytest.mark.parametrize(("fault", "code", "who", "words"), ACCESS)
def test_refused_access_names_the_person_who_can_change_it(
    appliance: ApplianceUnderTest, fault: Fault, code: FailureCode, who: WhoActs, words: str
) -> None:
    """By GitHub's message, not by its status alone."""
    appliance.github.inject(fault)
    try:
        run = appliance.run()
    finally:
        appliance.github.clear(fault)
    assert_refused_first(appliance, run)
    assert run.failure is not None
    assert (run.failure.code, run.failure.who_acts) == (code, who)
    assert words in run.failure.message
    assert ends(retry(appliance, run)) == (RunStatus.SUCCEEDED, None)


class GitHubWithOneRepository:
    """A `GitHub` that knows a repository in this state."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def repository(self, slug: str) -> Repository:
        return msgspec.structs.replace(self._repository, full_name=slug)


@pytest.mark.parametrize(
    ("state", "dry_run", "code"),
    [
        ({"disabled": True}, False, FailureCode.REPOSITORY_BLOCKED),
        ({"disabled": True}, True, FailureCode.REPOSITORY_BLOCKED),
        ({"archived": True, "may_push": False}, False, FailureCode.REPOSITORY_ARCHIVED),
        ({"may_push": False}, False, FailureCode.PUSH_NOT_PERMITTED),
    ],
)
def test_a_repository_that_rejects_pushes_is_refused(
    state: dict[str, bool], code: FailureCode, *, dry_run: bool
) -> None:
    """By its state on GitHub: an archived repository is not a missing permission."""
    repository = Repository(
        repository_id=1,
        full_name="",
        default_branch="main",
        private=True,
        archived=False,
        disabled=False,
        may_push=True,
        html_url="",
    )
    github: Any = GitHubWithOneRepository(msgspec.structs.replace(repository, **state))
    result = prepare_job(make_context(github=github, run={"dry_run": dry_run}))
    assert result.failure is not None
    assert result.failure.code is code


def test_an_empty_repository_is_not_a_missing_branch(tmp_path: Path, appliance: ApplianceUnderTest) -> None:
    """After the submitter pushes a first commit, a retry succeeds."""
    folder, slug = tmp_path / "empty.git", f"{appliance.slug}-empty"
    folder.mkdir()
    git(folder, "init", "--quiet", "--bare")
    appliance.github.add_repository(slug, folder)
    run = appliance.run(repository=slug)
    assert_refused_first(appliance, run)
    assert run.failure is not None
    assert (run.failure.code, run.failure.who_acts) == (FailureCode.REPOSITORY_EMPTY, WhoActs.SUBMITTER)
    assert run.failure.message == f"{slug} is empty: it has no commit, so it has no branch main."


@pytest.mark.parametrize("below", ["", "/20260301", "/20260301/{id}/notes"])
def test_a_branch_in_the_way_is_found_before_any_turn(appliance: ApplianceUnderTest, below: str) -> None:
    """Above or below the run's branch; the message names both. Without it a retry succeeds."""
    run = appliance.submit()
    own, other = f"speckit/20260301/{run.short_id}", f"speckit{below.format(id=run.short_id)}"
    create_branch(appliance, other)
    appliance.work()
    refused = appliance.stored(run)
    assert_refused_first(appliance, refused)
    assert ends(refused) == (RunStatus.FAILED, FailureCode.BRANCH_CONFLICT.value)
    assert refused.result_summary == f"{appliance.slug} has a branch {other}, so Git allows no branch {own} in it."
    git(appliance.github.git_folder(appliance.slug), "update-ref", "-d", f"refs/heads/{other}")
    assert ends(retry(appliance, run)) == (RunStatus.SUCCEEDED, None)


def test_the_runs_own_branch_that_exists_is_found_before_any_turn(appliance: ApplianceUnderTest) -> None:
    """This run has pushed nothing yet, so the branch is not its own work."""
    run = appliance.submit()
    create_branch(appliance, f"speckit/20260301/{run.short_id}")
    appliance.work()
    refused = appliance.stored(run)
    assert_refused_first(appliance, refused)
    assert ends(refused) == (RunStatus.FAILED, FailureCode.BRANCH_CONFLICT.value)


@pytest.mark.parametrize(
    ("prefix", "branch", "free"),
    [
        ("bot", "speckit", True),
        ("bot", "bots", True),
        ("bot", "bot-1/20260301", True),
        ("speckit", "speckit/20260301-other", True),
        ("speckit", "speckit/20260228/0a1b2c3d", True),
        ("bot/specs", "bot", False),
        ("bot/specs", "bot/specs", False),
        ("speckit/auto", "speckit", False),
    ],
)
def test_another_prefix_avoids_a_branch_in_the_way(
    tmp_path: Path, github: StandInGitHub, prefix: str, branch: str, *, free: bool
) -> None:
    """Unless the branch is a part of that prefix, too."""
    with open_appliance(tmp_path / "data", github, branch_prefix=prefix) as appliance:
        create_branch(appliance, branch)
        run = appliance.run()
        assert (run.status is RunStatus.SUCCEEDED) is free
        assert (run.branch_name == f"{prefix}/20260301/{run.short_id}") is free


def test_a_dry_run_needs_no_free_branch(appliance: ApplianceUnderTest) -> None:
    """It pushes nothing."""
    create_branch(appliance, "speckit")
    assert ends(appliance.run(dry_run=True)) == (RunStatus.SUCCEEDED, None)
