"""GitHub's refusals."""

import httpx
import pytest

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.stand_in import SLUG, TOKEN
from tests.rehearsal.github.hosted import PULLS, WISH


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("DELETE", f"/repos/{SLUG}/pulls"),
        ("GET", f"{PULLS}/1"),
        ("GET", f"{PULLS}/0"),
        ("GET", f"{PULLS}/x"),
        ("PATCH", f"{PULLS}/1"),
        ("GET", f"/repos/{SLUG}/issues/1/labels"),
        ("GET", f"/repos/{SLUG}/branches/none"),
        ("GET", f"/repos/{SLUG}/git/ref/heads/none"),
        ("GET", f"/repos/{SLUG}/git/ref/heads"),
        ("GET", "/repositories/99"),
    ],
)
def test_a_missing_resource_is_404_in_githubs_form(stand_in: StandInGitHub, method: str, path: str) -> None:
    """JSON with a message, for every path."""
    answer = httpx.request(method, stand_in.api_url + path, headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 404
    assert answer.json()["status"] == "404"
    assert answer.json()["message"] in ("Not Found", "Branch not found")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"head": "acme:none"}, {"resource": "PullRequest", "field": "head", "code": "invalid"}),
        ({"head": "someone:work/1"}, {"resource": "PullRequest", "field": "head", "code": "invalid"}),
        ({"head": ""}, {"resource": "PullRequest", "field": "head", "code": "invalid"}),
        ({"base": "none"}, {"resource": "PullRequest", "field": "base", "code": "invalid"}),
        (
            {"head": "main"},
            {"resource": "PullRequest", "code": "custom", "message": "No commits between main and main"},
        ),
        ({"title": ""}, {"resource": "Issue", "field": "title", "code": "missing_field"}),
    ],
)
def test_each_rule_has_its_error(api: httpx.Client, branch: str, changes: dict, error: dict[str, str]) -> None:
    """422 with resource, field and code."""
    answer = api.post(PULLS, json={**WISH, **changes})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [error]
