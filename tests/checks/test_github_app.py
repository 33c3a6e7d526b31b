"""What `doctor` finds out about a GitHub App, and about permissions of a token that runs do not need."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.checks.finding import Finding
from moonmind_appliance.checks.github_access import GitHubChecks, token_is_set
from moonmind_appliance.checks.repository import repository_checks
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.settings import PrivateKey, Secret, Settings
from tests.github.app import APP_ID, app_key, private_pem

SLUG = "acme/shop"
NEEDED = {"contents": "write", "pull_requests": "write", "metadata": "read"}


@pytest.fixture
def github(tmp_path: Path) -> Iterator[StandInGitHub]:
    with StandInGitHub(("127.0.0.1", 0), tmp_path / "github") as server:
        server.add_repository(SLUG)
        server.add_app(APP_ID, app_key().as_pem(private=False))
        yield server


def settings_of(github: StandInGitHub, *slugs: str, **fields: Any) -> Settings:
    return Settings(
        **{
            "github_api_url": github.api_url,
            "github_app_id": str(APP_ID),
            "github_app_private_key": private_pem(app_key()),
            "spec_workflow_github_repository": slugs,
            **fields,
        }
    )


def look(github: StandInGitHub, *slugs: str, **fields: Any) -> list[Finding]:
    return list(GitHubChecks(settings_of(github, *slugs, **fields))())


def shown(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.level.value) for finding in findings]


def test_an_app_with_what_runs_need(github: StandInGitHub) -> None:
    """The App, its installation and the repository are fine; the check leaves no valid token."""
    github.install_app(APP_ID, "acme", repositories=[SLUG])
    findings = look(github, SLUG)
    assert shown(findings) == [("GitHub App", "ok"), ("GitHub App on acme", "ok"), (f"repository {SLUG}", "ok")]
    assert f"GITHUB_APP_ID {APP_ID}" in findings[0].observed
    assert all(token.revoked for token in github.installation_tokens)


def test_a_surplus_of_the_installation_is_a_note(github: StandInGitHub) -> None:
    """Permissions that no run needs, and access to all repositories, are reported once for each installation."""
    github.add_repository("acme/second")
    github.install_app(APP_ID, "acme", permissions={**NEEDED, "issues": "write", "administration": "read"})
    findings = look(github, SLUG, "acme/second")
    assert shown(findings) == [
        ("GitHub App", "ok"),
        ("GitHub App on acme", "note"),
        (f"repository {SLUG}", "ok"),
        ("repository acme/second", "ok"),
    ]
    assert "administration: read, issues: write" in findings[1].observed
    assert "all repositories of acme" in findings[1].observed
    assert findings[1].to_do


def test_without_a_list_of_repositories_the_installations_are_counted(github: StandInGitHub) -> None:
    """Runs may use all of their repositories."""
    github.install_app(APP_ID, "acme")
    findings = look(github)
    assert shown(findings) == [("GitHub App", "ok"), ("repositories", "note")]
    assert "It has 1 installation." in findings[1].observed


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        (None, "is not installed on acme/shop"),
        ({"suspended": True}, "is suspended"),
        ({"permissions": {"contents": "read"}}, "contents: write, pull_requests: write"),
    ],
)
def test_an_app_that_runs_cannot_use(github: StandInGitHub, installed: dict[str, Any] | None, said: str) -> None:
    """The finding says why and what to do, as a failed run does."""
    if installed is not None:
        github.install_app(APP_ID, "acme", **installed)
    findings = look(github, SLUG)
    assert shown(findings) == [("GitHub App", "ok"), (f"repository {SLUG}", "wrong")]
    assert said in findings[1].observed
    assert findings[1].to_do


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"github_app_private_key": private_pem(app_key(1))}, "does not accept the App"),
        ({"github_app_private_key": PrivateKey("no key")}, "is not a private RSA key"),
        ({"github_api_url": "http://127.0.0.1:9"}, "No response"),
    ],
)
def test_a_key_or_an_address_that_is_wrong(github: StandInGitHub, fields: dict[str, Any], said: str) -> None:
    """There is one finding: nothing else can be checked."""
    (finding,) = look(github, SLUG, **fields)
    assert (finding.check, finding.level, said in finding.observed) == ("GitHub App", "wrong", True)
    assert finding.to_do


def test_githubs_time_is_known_from_the_app(github: StandInGitHub) -> None:
    """The check of the clock needs it: a JWT contains times."""
    github.install_app(APP_ID, "acme")
    checks = GitHubChecks(settings_of(github))
    list(checks())
    assert checks.time is not None


def test_an_app_is_a_credential_without_a_request(github: StandInGitHub) -> None:
    """`/ready` and `doctor --offline` make no request to GitHub."""
    finding = token_is_set(settings_of(github))
    assert (finding.check, finding.level) == ("GitHub App", "ok")
    assert github.requests == []


def test_a_repository_is_checked_with_the_app(github: StandInGitHub) -> None:
    """`doctor --repository` also checks the installation, and revokes its token."""
    github.install_app(APP_ID, "acme")
    findings = list(repository_checks(settings_of(github), SLUG))
    assert shown(findings)[:3] == [
        ("GitHub App on acme", "note"),
        (f"repository {SLUG}", "ok"),
        (f"Spec Kit of {SLUG}", "ok"),
    ]
    assert [token.revoked for token in github.installation_tokens] == [True]
    github.uninstall_app(APP_ID, "acme")
    assert shown(list(repository_checks(settings_of(github), SLUG))) == [(f"repository {SLUG}", "wrong")]


def with_token(github: StandInGitHub, token: str, *slugs: str) -> list[Finding]:
    return look(github, *slugs, github_app_id=None, github_app_private_key=None, github_token=Secret(token))


def test_a_classic_tokens_surplus_is_a_note(github: StandInGitHub) -> None:
    """The scopes that runs do not need are named; `repo` is not limited to one repository."""
    github.add_token("ghp_more", scopes=("repo", "workflow", "admin:org", "delete_repo"))
    token, _ = with_token(github, "ghp_more", SLUG)
    assert (token.level, "Runs do not need admin:org, delete_repo." in token.observed) == ("note", True)
    github.add_token("ghp_needed")
    token, _ = with_token(github, "ghp_needed", SLUG)
    assert (token.level, "every repository of its account" in token.observed) == ("ok", True)


def test_a_fine_grained_tokens_surplus_is_found_by_reading(github: StandInGitHub) -> None:
    """GitHub does not report such a token's permissions, so the check tries what it can read."""
    github.add_token("github_pat_more", permissions={**NEEDED, "secrets": "read", "administration": "write"})
    findings = with_token(github, "github_pat_more", SLUG)
    assert shown(findings)[1] == ("GitHub token, permissions", "note")
    assert "It can also read administration, secrets," in findings[1].observed
    github.add_token("github_pat_needed", permissions=NEEDED)
    assert shown(with_token(github, "github_pat_needed", SLUG))[1] == ("GitHub token, permissions", "ok")
