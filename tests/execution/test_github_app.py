"""A run's access to GitHub with an App: taken at the first use, renewed, and revoked however the run ends."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github import GitHubApp
from moonmind_appliance.models import Run, RunStatus
from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from tests.appliance_under_test import ApplianceUnderTest, ends
from tests.containers.fake_exec import FakeExec
from tests.github.app import APP_ID, app_key, app_settings
from tests.scripted_acts import PLAN, assert_nowhere, retry, says

NEEDED = {"contents": "write", "pull_requests": "write", "metadata": "read"}
ENDED = "fatal: Authentication failed for 'http://x/acme/shop.git/'"


@contextmanager
def using_app(
    appliance: ApplianceUnderTest, github: StandInGitHub, settling: tuple[float, ...] = ()
) -> Iterator[GitHubApp]:
    """The appliance uses an App instead of a token."""
    github.set_token_life(3600)
    github.add_app(APP_ID, app_key().as_pem(private=False))
    github.install_app(APP_ID, "acme")
    settings, known = app_settings(github.api_url), appliance.resources.redactor
    made = GitHubApp.of(settings, pauses=(), known=known, settling=settling)
    assert made is not None
    appliance.with_resources(github=None, github_app=made)
    yield made
    made.close()


@pytest.fixture
def app(appliance: ApplianceUnderTest, github: StandInGitHub) -> Iterator[GitHubApp]:
    with using_app(appliance, github) as made:
        yield made


def tokens_of(appliance: ApplianceUnderTest, github: StandInGitHub) -> list[Any]:
    return [token for token in github.installation_tokens if token.repositories == (appliance.slug,)]


def revoked(appliance: ApplianceUnderTest, github: StandInGitHub) -> list[bool]:
    return [token.revoked for token in tokens_of(appliance, github)]


def access(appliance: ApplianceUnderTest, run: Run) -> dict[str, Any]:
    """The part of the run's credential audit about GitHub."""
    saved = appliance.resources.files.read(run.run_id, "credential_audit.json")
    assert saved is not None
    found: dict[str, Any] = json.loads(saved)["github"]
    return found


def given_token(process: FakeExec) -> str:
    """The token in the environment of a Git command."""
    basic = process.spec.env["GIT_CONFIG_VALUE_0"].removeprefix("Authorization: Basic ")
    return base64.b64decode(basic).decode().removeprefix("x-access-token:")


def rejects_ended(github: StandInGitHub, seen: list[str]) -> Callable[[FakeExec], dict[str, Any] | None]:
    """A Git command that fails as with an expired token."""

    def act(process: FakeExec) -> dict[str, Any] | None:
        seen.append(given_token(process))
        index = github.installation_token_values().index(seen[-1])
        if github.installation_tokens[index].expires_at > datetime.now(UTC):
            return None
        process.stderr.write(ENDED.encode())
        return {"exit_code": 128}

    return act


def test_one_token_serves_clone_push_and_pull_request(
    appliance: ApplianceUnderTest, github: StandInGitHub, app: GitHubApp
) -> None:
    """It is for the repository and two permissions alone, and revoked when the run ends; the audit says so."""
    seen: list[str] = []
    appliance.git_acts["clone"] = [rejects_ended(github, seen)]
    appliance.git_acts["push"] = [rejects_ended(github, seen)]
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    (token,) = tokens_of(appliance, github)
    assert (token.permissions, token.revoked, len(set(seen))) == (NEEDED, True, 1)
    found = access(appliance, run)
    assert (found["kind"], found["renewed"], found["revoked"]) == ("installation token of a GitHub App", 0, True)
    assert [each["end"] for each in found["tokens"]] == ["revoked"]
    for value in (seen[0], base64.b64encode(f"x-access-token:{seen[0]}".encode()).decode()):
        assert_nowhere(appliance, value)


def test_a_token_that_ends_during_the_plan_is_renewed(
    appliance: ApplianceUnderTest, github: StandInGitHub, app: GitHubApp
) -> None:
    """The run succeeds with a second one. GitHub may end the first one early, so that a 401 is the first sign of it."""
    appliance.agent.acts[PLAN] = [lambda _: github.end_token_lives()]
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert len(github.pull_requests(appliance.slug)) == 1
    found = access(appliance, run)
    assert [each["why"] for each in found["tokens"]] == ["first use", "GitHub rejected it"]
    assert (found["renewed"], found["revoked"], revoked(appliance, github)) == (1, True, [False, True])


@pytest.mark.parametrize("verb", ["clone", "push"])
def test_git_renews_a_rejected_token_once(
    appliance: ApplianceUnderTest, github: StandInGitHub, app: GitHubApp, verb: str
) -> None:
    """Between the request of the API before it and the command itself; the command is repeated with the new one."""
    seen: list[str] = []

    def ends_first(process: FakeExec) -> dict[str, Any] | None:
        github.end_token_lives()
        return rejects_ended(github, seen)(process)

    appliance.git_acts[verb] = [ends_first, rejects_ended(github, seen)]
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert appliance.git_verbs.count(verb) == 2
    assert len(set(seen)) == 2


def test_git_waits_until_github_knows_a_new_token(appliance: ApplianceUnderTest, github: StandInGitHub) -> None:
    """The command is repeated with the same token."""
    seen: list[str] = []

    def rejects(process: FakeExec) -> dict[str, Any]:
        seen.append(given_token(process))
        process.stderr.write(ENDED.encode())
        return {"exit_code": 128}

    appliance.git_acts["clone"] = [rejects, rejects, rejects_ended(github, seen)]
    with using_app(appliance, github, settling=(0.0, 0.0)):
        assert ends(appliance.run()) == (RunStatus.SUCCEEDED, None)
    assert (len(seen), len(set(seen)), len(tokens_of(appliance, github))) == (3, 1, 1)


def test_git_does_not_renew_for_ever(appliance: ApplianceUnderTest, github: StandInGitHub, app: GitHubApp) -> None:
    """A new token that is rejected as well fails the run."""

    def rejects(process: FakeExec) -> dict[str, Any]:
        process.stderr.write(ENDED.encode())
        return {"exit_code": 128}

    appliance.git_acts["push"] = [rejects] * 5
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, "github_token_rejected")
    assert appliance.git_verbs.count("push") == 2
    assert all(revoked(appliance, github))


def test_the_token_of_a_failed_run_is_revoked(
    appliance: ApplianceUnderTest, github: StandInGitHub, app: GitHubApp
) -> None:
    """So is that of a run that failed before its audit. A retry requests another token; the audit lists both."""
    appliance.agent.acts[PLAN] = [says(verdict="failed", message="no", exit_code=1)]
    run = appliance.run()
    assert run.status is RunStatus.FAILED
    assert (revoked(appliance, github), access(appliance, run)["revoked"]) == ([True], True)
    retry(appliance, run)
    appliance.work()
    assert appliance.stored(run).status is RunStatus.SUCCEEDED
    found = access(appliance, run)
    assert (revoked(appliance, github), len(found["tokens"]), found["revoked"]) == ([True, True], 2, True)


def test_the_token_of_a_cancelled_run_is_revoked(
    appliance: ApplianceUnderTest, github: StandInGitHub, app: GitHubApp
) -> None:
    """The cancel interrupts the plan."""
    run = appliance.submit()

    def cancel(process: FakeExec) -> None:
        appliance.store.runs.request_cancel(run.run_id, now=appliance.clock())
        process.sleep(30)

    appliance.agent.acts[PLAN] = [cancel]
    appliance.work()
    assert appliance.stored(run).status is RunStatus.CANCELLED
    assert revoked(appliance, github) == [True]


def test_a_run_that_waits_has_no_token(appliance: ApplianceUnderTest, github: StandInGitHub, app: GitHubApp) -> None:
    """It may wait for days. It requests another token when it continues."""
    resets = (appliance.clock() + timedelta(hours=5)).isoformat()
    appliance.agent.acts[PLAN] = [says(verdict="quota", message="limit", resets_at=resets, exit_code=1)] * 2
    run = appliance.submit()
    appliance.work()
    assert appliance.stored(run).status is RunStatus.QUEUED
    assert revoked(appliance, github) == [True]
    assert access(appliance, run)["revoked"]


def test_a_revocation_that_fails_does_not_fail_the_run(
    appliance: ApplianceUnderTest, github: StandInGitHub, app: GitHubApp
) -> None:
    """The audit says that the token expires by itself."""
    run = appliance.submit()
    github.inject(Fault.REVOCATION_ERROR)
    try:
        appliance.work()
    finally:
        github.clear(Fault.REVOCATION_ERROR)
    assert appliance.stored(run).status is RunStatus.SUCCEEDED
    found = access(appliance, run)
    assert (found["revoked"], found["tokens"][0]["end"]) == (False, "not revoked: it expires by itself")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda github: github.uninstall_app(APP_ID, "acme"), "github_app_not_installed"),
        (lambda github: github.install_app(APP_ID, "acme", suspended=True), "github_app_suspended"),
        (
            lambda github: github.install_app(APP_ID, "acme", permissions={"contents": "read"}),
            "github_app_permission_missing",
        ),
        (lambda github: github.add_app(APP_ID, app_key(1).as_pem(private=False)), "github_app_rejected"),
        (lambda github: github.pass_time(5000), "github_app_clock_wrong"),
    ],
)
@pytest.mark.parametrize("when", ["before", "during"])
def test_each_cause_has_its_code(
    appliance: ApplianceUnderTest,
    github: StandInGitHub,
    app: GitHubApp,
    *,
    change: Callable[[StandInGitHub], object],
    code: str,
    when: str,
) -> None:
    """The run fails before model time is used, or when the next token is needed. Waiting does not help."""

    def during(_: FakeExec) -> None:
        github.end_token_lives()
        change(github)

    if when == "before":
        change(github)
    else:
        appliance.agent.acts[PLAN] = [during]
    try:
        run = appliance.run()
    finally:
        if code == "github_app_clock_wrong":
            github.pass_time(-5000)
    assert ends(run) == (RunStatus.FAILED, code)
    assert run.failure is not None
    assert run.failure.next_step
    assert appliance.agent.turns.count(PLAN) == (0 if when == "before" else 1)


def test_an_outage_while_a_token_is_renewed_is_waited_for(
    appliance: ApplianceUnderTest, github: StandInGitHub, app: GitHubApp
) -> None:
    """It is handled as any other outage of GitHub."""

    def down(_: FakeExec) -> None:
        github.end_token_lives()
        github.inject(Fault.SERVER_ERRORS)

    appliance.agent.acts[PLAN] = [down]
    run = appliance.submit()
    try:
        appliance.work()
    finally:
        github.clear(Fault.SERVER_ERRORS)
    stored = appliance.stored(run)
    assert (stored.status, stored.waiting_for and stored.waiting_for.reason.value) == (RunStatus.QUEUED, "github")


def test_runs_of_one_account_share_the_rate_limit(
    appliance: ApplianceUnderTest, github: StandInGitHub, app: GitHubApp
) -> None:
    """GitHub counts an installation's requests together: a second run does not ask while the limit applies."""
    first, second = app.client(appliance.slug), app.client(appliance.slug)
    first.repository(appliance.slug)
    github.inject(Fault.RATE_LIMITED, times=1)
    for client in (first, second):
        with pytest.raises(GitHubError) as caught:
            client.repository(appliance.slug)
        assert caught.value.retry_at is not None
    assert sum(request.status == 403 for request in github.requests[-3:]) == 1
    first.tokens.end()
    second.tokens.end()
