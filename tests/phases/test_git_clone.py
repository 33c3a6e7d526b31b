"""The clone of the base branch."""

from typing import Any

import pytest

from moonmind_appliance.models import FailureCode, PhaseName, RunStatus, SpecKitChoice, WhoActs
from moonmind_appliance.store.event_line import event_line
from tests.appliance_under_test import BASE, SPEC_KIT, ApplianceUnderTest, ends
from tests.containers.fake_exec import FakeExec
from tests.in_container.sent import job_of
from tests.scripted_acts import git_fails


def test_the_clone_names_its_commit_and_the_runs_branch(appliance: ApplianceUnderTest) -> None:
    """People see the base commit; the run has its branch from here on."""
    run = appliance.run()
    metadata = run.phase(PhaseName.GIT_CLONE).metadata
    assert (metadata["base_commit"], metadata["scaffold_files"]) == (BASE, 0)
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


def test_the_clone_reports_which_spec_kit_the_run_uses(appliance: ApplianceUnderTest) -> None:
    """In the phase's output for later code, in its metadata for people, and in its event for the log."""
    reason = "It is made for copilot, and has no skills for Codex (.agents/skills/speckit-…)."
    template = {"spec-template.md": ".specify/templates/spec-template.md"}
    found = {**SPEC_KIT, "used": "image", "kind": "no_skills", "reason": reason, "templates": template}
    appliance.git_acts["clone"] = [lambda _: {"spec_kit": found}]
    run = appliance.run()
    choice = run.output(SpecKitChoice)
    assert choice is not None
    assert (choice.used, choice.kind, choice.reason) == ("image", "no_skills", reason)
    said = (
        f"Spec Kit: the appliance's, not the repository's own 0.9.4. {reason} "
        "The repository's constitution and spec-template.md are used."
    )
    assert run.phase(PhaseName.GIT_CLONE).metadata["spec_kit_summary"] == said
    lines = [event_line(event) for event in appliance.store.events.after(0, run_id=run.run_id, limit=1000)]
    assert any("git_clone succeeded" in line and line.endswith(said) for line in lines)


def test_a_link_to_a_spec_kit_outside_the_repository_fails_the_run(appliance: ApplianceUnderTest) -> None:
    """Before any model time is used, with the link's name."""
    problem = ".agents is a link to ../common, outside the repository. Spec Kit's files must be in the repository."
    found = {**SPEC_KIT, "used": "image", "kind": "link_outside", "reason": problem, "problem": problem}
    appliance.git_acts["clone"] = [lambda _: {"spec_kit": found}]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.SPEC_KIT_UNUSABLE.value)
    assert (run.failure and run.failure.message, appliance.agent.turns) == (problem, [])


def test_the_clone_reports_what_it_took_from_the_cache(appliance: ApplianceUnderTest) -> None:
    """For people. The program knows the limits; it is told of no cache if there is none."""
    jobs = []

    def clone(process: FakeExec) -> dict[str, Any]:
        jobs.append(job_of(process.spec))
        return {"cache": {"used": True, "bytes": 4096}}

    appliance.git_acts["clone"] = [clone]
    run = appliance.run()
    assert run.phase(PhaseName.GIT_CLONE).metadata["cache"] == {"used": True, "bytes": 4096}
    settings = appliance.resources.settings
    assert jobs[0]["cache"] == {
        "folder": "/work/codex-home",
        "most_bytes": settings.repository_cache_bytes,
        "min_free": settings.min_free_disk,
    }
    assert "cache" not in appliance.run().phase(PhaseName.GIT_CLONE).metadata
