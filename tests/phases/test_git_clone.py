"""The clone of the base branch."""

import pytest

from moonmind_appliance.models import FailureCode, PhaseName, RunStatus, WhoActs
from tests.appliance_under_test import BASE, ApplianceUnderTest, ends
from tests.scripted_acts import git_fails


def test_the_clone_names_its_commit_and_the_runs_branch(appliance: ApplianceUnderTest) -> None:
    """People see the base commit; the run has its branch from here on."""
    run = appliance.run()
    assert run.phase(PhaseName.GIT_CLONE).metadata == {
        "base_commit": BASE,
        "scaffold_files": 0,
        "scaffold_folders": [],
    }
    assert run.branch_name == f"speckit/20260301/{run.short_id}"


@pytest.mark.parametrize(
    ("stderr", "code"),
    [
        ("fatal: couldn't find remote ref refs/heads/main", FailureCode.BASE_BRANCH_NOT_FOUND),
        ("fatal: bad thing", FailureCode.CLONE_FAILED),
    ],
)
def test_a_clone_that_fails_ends_the_run(appliance: ApplianceUnderTest, stderr: str, code: FailureCode) -> None:
    """With Git's own message, which the submitter reads."""
    appliance.git_acts["clone"] = [git_fails(stderr)]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, code.value)
    assert stderr in (run.result_summary or "")
    assert appliance.agent.turns == []


DENIED = "fatal: unable to access 'https://github.com/acme/proxy.git/': The requested URL returned error: 403"


@pytest.mark.parametrize(
    ("stderr", "code", "who"),
    [
        ("remote: has enabled or enforced SAML SSO.", FailureCode.GITHUB_SSO_REQUIRED, WhoActs.OPERATOR),
        ("remote: Write access to repository not granted.", FailureCode.GITHUB_TOKEN_INSUFFICIENT, WhoActs.OPERATOR),
        ("remote: A reason of tomorrow.", FailureCode.GITHUB_REFUSED, WhoActs.OPERATOR),
    ],
)
def test_a_clone_that_only_git_refuses_spends_no_turn(
    appliance: ApplianceUnderTest, stderr: str, code: FailureCode, who: WhoActs
) -> None:
    """REST allowed the request before. The failure says nothing about a push."""
    appliance.git_acts["clone"] = [git_fails(f"{stderr}\n{DENIED}")]
    run = appliance.run()
    assert run.failure is not None
    assert (run.failure.code, run.failure.who_acts) == (code, who)
    assert (
        run.failure.message == f"git failed to clone {appliance.slug}. GitHub said: {stderr.removeprefix('remote: ')}"
    )
    assert "pushed" not in run.failure.next_step
    assert appliance.agent.turns == []
