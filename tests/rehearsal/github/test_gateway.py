"""Every request is logged and answered as GitHub does."""

from pathlib import Path

import httpx

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.stand_in import SLUG, TOKEN, add_branch, git
from tests.rehearsal.github.hosted import AUTH, PULLS, WISH


def test_the_log_has_every_request_and_no_secret(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """Requests of Git and REST are logged with method, path and status."""
    httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH)
    git("clone", "-q", stand_in.clone_url(SLUG), tmp_path / "clone", token=TOKEN)
    assert [(r.method, r.path, r.status) for r in stand_in.requests] == [
        ("GET", f"/api/v3/repos/{SLUG}", 200),
        ("GET", f"/{SLUG}.git/info/refs", 401),
        ("GET", f"/{SLUG}.git/info/refs", 200),
        ("POST", f"/{SLUG}.git/git-upload-pack", 200),
        ("POST", f"/{SLUG}.git/git-upload-pack", 200),
    ]
    assert TOKEN not in repr(stand_in.requests)
    kept = [path for path in (tmp_path / "stand-in").rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in path.read_bytes() for path in kept)


def test_an_injected_rate_limit_looks_like_githubs(stand_in: StandInGitHub) -> None:
    """The primary limit has its headers, the secondary one `retry-after` and its documentation page."""
    stand_in.inject("rate-limited", times=1)
    primary = httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH)
    assert (primary.status_code, primary.headers["x-ratelimit-remaining"]) == (403, "0")
    assert "retry-after" not in primary.headers
    stand_in.inject("secondary-rate-limited", times=1)
    secondary = httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH)
    assert (secondary.status_code, secondary.headers["retry-after"]) == (403, "60")
    assert secondary.json()["documentation_url"].endswith("#about-secondary-rate-limits")


def test_every_response_has_githubs_headers(api: httpx.Client) -> None:
    """Request id, rate limit and its remainder, the token's scopes, the version."""
    first, second = api.get(f"/repos/{SLUG}"), api.get(f"/repos/{SLUG}")
    assert first.headers["x-github-request-id"] != second.headers["x-github-request-id"]
    assert first.headers["x-ratelimit-limit"] == "5000"
    assert [int(a.headers["x-ratelimit-remaining"]) for a in (first, second)] == [4999, 4998]
    assert first.headers["x-oauth-scopes"] == "repo, workflow"
    assert first.headers["x-github-api-version-selected"] == "2022-11-28"
    assert first.headers["content-type"] == "application/json"


def test_a_renamed_repository_redirects_by_its_number(stand_in: StandInGitHub, api: httpx.Client) -> None:
    """301 for reads, 307 for writes, with path and query; only for callers with access."""
    add_branch(stand_in, "work/1")
    stand_in.rename_repository(SLUG, "acme/library")
    moved = api.get(f"{PULLS}?state=all")
    assert moved.status_code == 301
    assert moved.headers["location"].endswith("/pulls?state=all")
    assert api.get(moved.headers["location"]).json() == []
    written = api.post(PULLS, json=WISH)
    assert written.status_code == 307
    assert api.post(written.headers["location"], json=WISH).status_code == 201
    assert httpx.get(f"{stand_in.api_url}/repos/{SLUG}").status_code == 404
