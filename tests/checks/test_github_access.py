"""The checks of GitHub, on the stand-in."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.checks import Finding
from moonmind_appliance.checks.github_access import GitHubChecks
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.settings import Secret, Settings

TOKEN = "ghp_standInToken0123456789abcdefghijklmn"


@pytest.fixture
def github(tmp_path: Path) -> Iterator[StandInGitHub]:
    with StandInGitHub(("127.0.0.1", 0), tmp_path / "github") as server:
        server.add_repository("acme/shop")
        server.add_repository("acme/old", archived=True)
        server.add_token(TOKEN)
        yield server


def look(github: StandInGitHub, *slugs: str, token: str | None = TOKEN, **fields: Any) -> list[Finding]:
    settings = Settings(
        **{"github_api_url": github.api_url, **fields},
        github_token=Secret(token) if token else None,
        spec_workflow_github_repository=slugs,
    )
    return list(GitHubChecks(settings)())


def grades(findings: list[Finding]) -> list[str]:
    return [finding.level.value for finding in findings]


def test_a_valid_token_and_repository(github: StandInGitHub) -> None:
    """With its scopes, and the branch that runs start from."""
    token, repository = look(github, "acme/shop")
    assert (token.level, repository.level) == ("ok", "ok")
    assert "scopes: repo, workflow" in token.observed
    assert "default branch main" in repository.observed


def test_a_missing_repository_setting_is_a_note(github: StandInGitHub) -> None:
    """The token is checked anyway."""
    assert grades(look(github)) == ["ok", "note"]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"scopes": ("repo",)}, ["note", "ok"]),
        ({"scopes": ("gist",), "push": True}, ["wrong"]),
        ({"push": False}, ["ok", "wrong"]),
        ({"repositories": ()}, ["ok", "wrong"]),
    ],
)
def test_a_token_with_too_few_permissions(github: StandInGitHub, how: dict[str, Any], expected: list[str]) -> None:
    """The finding names what is missing; it is wrong only if runs cannot work."""
    github.add_token("ghp_lesser", **how)
    assert grades(look(github, "acme/shop", token="ghp_lesser")) == expected


def test_an_archived_and_a_missing_repository(github: StandInGitHub) -> None:
    """Each has its own finding."""
    findings = look(github, "acme/shop", "acme/old", "acme/none")
    assert grades(findings) == ["ok", "ok", "wrong", "wrong"]
    assert "archived" in findings[2].observed


def test_a_refused_token(github: StandInGitHub) -> None:
    """The token is not shown."""
    findings = look(github, "acme/shop", token="ghp_revoked0123")
    assert grades(findings) == ["wrong"]
    assert "ghp_" not in findings[0].observed + findings[0].to_do


def test_no_token_and_no_server(github: StandInGitHub) -> None:
    """What to set, what to check."""
    assert look(github, token=None)[0].to_do == (
        "Set GITHUB_TOKEN, or GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY_FILE, and restart `serve`."
    )
    assert "GITHUB_API_URL" in look(github, github_api_url="http://127.0.0.1:9")[0].to_do


def test_githubs_time_is_returned(github: StandInGitHub) -> None:
    """For the check of this machine's clock."""
    settings = Settings(github_api_url=github.api_url, github_token=Secret(TOKEN))
    checks = GitHubChecks(settings)
    list(checks())
    assert checks.time is not None
    assert abs(datetime.now(UTC) - checks.time) < timedelta(minutes=1)
