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


def test_a_good_token_and_repository(github: StandInGitHub) -> None:
    """Its scopes, and the branch that runs start from."""
    token, repository = look(github, "acme/shop")
    assert (token.level, repository.level) == ("ok", "ok")
    assert "scopes: repo, workflow" in token.seen
    assert "default branch main" in repository.seen


def test_no_repository_named_is_worth_knowing(github: StandInGitHub) -> None:
    """A token is tried all the same."""
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
def test_a_token_that_may_less(github: StandInGitHub, how: dict[str, Any], expected: list[str]) -> None:
    """What it lacks is said, and where it keeps runs from working that is wrong."""
    github.add_token("ghp_lesser", **how)
    assert grades(look(github, "acme/shop", token="ghp_lesser")) == expected


def test_an_archived_repository_and_one_that_is_not_there(github: StandInGitHub) -> None:
    """Each on its own line."""
    findings = look(github, "acme/shop", "acme/old", "acme/none")
    assert grades(findings) == ["ok", "ok", "wrong", "wrong"]
    assert "archived" in findings[2].seen


def test_a_token_that_is_refused(github: StandInGitHub) -> None:
    """It is not shown."""
    findings = look(github, "acme/shop", token="ghp_revoked0123")
    assert grades(findings) == ["wrong"]
    assert "ghp_" not in findings[0].seen + findings[0].to_do


def test_no_token_and_nobody_there(github: StandInGitHub) -> None:
    """What to set, what to check."""
    assert look(github, token=None)[0].to_do == "Set GITHUB_TOKEN or GITHUB_TOKEN_FILE, and restart `serve`."
    assert "GITHUB_API_URL" in look(github, github_api_url="http://127.0.0.1:9")[0].to_do


def test_githubs_time_comes_along(github: StandInGitHub) -> None:
    """For a look at this machine's clock."""
    settings = Settings(github_api_url=github.api_url, github_token=Secret(TOKEN))
    checks = GitHubChecks(settings)
    list(checks())
    assert checks.time is not None
    assert abs(datetime.now(UTC) - checks.time) < timedelta(minutes=1)
