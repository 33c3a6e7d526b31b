"""Every request is logged and answered as GitHub does."""

from pathlib import Path

import httpx
import pytest

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.stand_in import SLUG, TOKEN, add_branch, attempt, git
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


@pytest.mark.parametrize(
    ("fault", "word", "statuses"),
    [
        ("git-refs-error", "502", [502]),
        ("git-fetch-error", "503", [200, 503]),
        ("git-rate-limited", "429", [429]),
        ("git-reset", "RPC failed", [200, 200]),
    ],
)
def test_a_fault_of_git_fails_one_clone(
    stand_in: StandInGitHub, tmp_path: Path, fault: str, word: str, statuses: list[int]
) -> None:
    """At its address; REST is not affected, and the next clone succeeds."""
    url = stand_in.clone_url(SLUG).replace("://", f"://x-access-token:{TOKEN}@")
    stand_in.inject(fault, times=1)
    assert httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH).status_code == 200
    before = len(stand_in.requests)
    failed = attempt("clone", "-q", url, tmp_path / "one", folder=tmp_path)
    assert failed.returncode == 128
    assert word in failed.stderr
    answered = [request.status for request in stand_in.requests[before:] if request.status != 401]
    assert answered[: len(statuses)] == statuses
    git("clone", "-q", url, tmp_path / "two", folder=tmp_path)


def test_a_push_is_refused_or_its_answer_is_lost(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """A refused one changes nothing; a lost one is accepted, and the connection is closed without a response."""
    folder = tmp_path / "clone"
    git("clone", "-q", stand_in.clone_url(SLUG), folder, token=TOKEN)
    stand_in.inject("git-push-error", times=1)
    refused = attempt("push", "-q", "origin", "HEAD:work/1", folder=folder, token=TOKEN)
    assert "502" in refused.stderr
    assert "work/1" not in stand_in.branches(SLUG)
    stand_in.inject("git-lost-answer", times=1)
    lost = attempt("push", "-q", "origin", "HEAD:work/1", folder=folder, token=TOKEN)
    assert lost.returncode != 0
    assert "work/1" in stand_in.branches(SLUG)
    # libcurl sends a request again if a connection that it uses again is closed without a response.
    assert [r.status for r in stand_in.requests if r.path.endswith("/git-receive-pack")][:3] == [502, None, 200]


def test_a_limit_names_the_seconds_that_were_requested(stand_in: StandInGitHub) -> None:
    """429 with `Retry-After`; later limits keep them."""
    stand_in.inject("too-many-requests", times=1, retry_after=2)
    limited = httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH)
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "2")
    stand_in.inject("secondary-rate-limited", times=1)
    assert httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH).headers["retry-after"] == "2"
