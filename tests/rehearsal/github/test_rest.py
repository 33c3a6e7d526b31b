"""The stand-in's REST API is as strict as GitHub's: each response is checked against GitHub's OpenAPI description."""

import httpx
import pytest

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.stand_in import SLUG, TOKEN
from tests.rehearsal.github.hosted import PULLS, WISH


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({"authorization": "Bearer ghp_wrong"}, 401, "Bad credentials"),
        ({"authorization": "nonsense"}, 401, "Bad credentials"),
        ({"user-agent": ""}, 403, "Request forbidden by administrative rules."),
        ({"x-github-api-version": "2021-01-01"}, 400, "is not supported"),
        ({"accept": "text/html"}, 415, "Must accept 'application/json'"),
    ],
)
def test_headers_are_checked_before_anything_else(
    api: httpx.Client, headers: dict[str, str], status: int, words: str
) -> None:
    """Also if the repository does not exist."""
    for path in (f"/repos/{SLUG}", "/repos/acme/none"):
        answer = api.get(path, headers=headers)
        assert answer.status_code == status
        assert words in answer.json()["message"]
        assert answer.json()["documentation_url"].startswith("https://docs.github.com/rest")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "token"])
def test_the_token_is_accepted_in_each_of_githubs_forms(api: httpx.Client, scheme: str) -> None:
    """Bearer, token, and Basic with the token as password."""
    assert api.get(f"/repos/{SLUG}", headers={"authorization": f"{scheme} {TOKEN}"}).status_code == 200
    assert api.get(f"/repos/{SLUG}", auth=("anybody", TOKEN)).status_code == 200


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/vnd.github.v3+json", "text/html, */*;q=0.1"]
)
def test_known_media_types_are_accepted(api: httpx.Client, accept: str) -> None:
    """Those in GitHub's docs, and those that HTTP libraries send by default."""
    assert api.get(f"/repos/{SLUG}", headers={"accept": accept}).status_code == 200


def test_without_a_token_only_public_repositories_are_visible(stand_in: StandInGitHub, api: httpx.Client) -> None:
    """Reading a private repository is 404, writing to a public one is 401."""
    stand_in.add_repository("acme/public", private=False)
    del api.headers["authorization"]
    assert api.get(f"/repos/{SLUG}").status_code == 404
    public = api.get("/repos/acme/public")
    assert public.status_code == 200
    assert "permissions" not in public.json()
    refused = api.post("/repos/acme/public/pulls", json=WISH)
    assert (refused.status_code, refused.json()["message"]) == (401, "Requires authentication")


def test_a_branch_and_its_ref_agree(api: httpx.Client, branch: str) -> None:
    """By the branch's name with its slash quoted, and by the ref's."""
    assert api.get(f"/repos/{SLUG}/branches/work%2F1").json()["commit"]["sha"] == branch
    assert api.get(f"/repos/{SLUG}/git/ref/heads/work/1").json()["object"]["sha"] == branch


def test_an_empty_repository_has_a_conflict_for_refs(stand_in: StandInGitHub, api: httpx.Client) -> None:
    """GitHub responds 409 if there is no commit."""
    stand_in.add_repository("acme/empty", stand_in.git_folder(SLUG))
    bare = stand_in.git_folder("acme/empty")
    for file in (bare / "refs/heads/main", bare / "packed-refs"):
        file.unlink(missing_ok=True)
    assert api.get("/repos/acme/empty/git/ref/heads/main").status_code == 409
    assert api.get("/repos/acme/empty/branches/main").status_code == 404


def test_a_reading_token_writes_nothing(stand_in: StandInGitHub, api: httpx.Client, branch: str) -> None:
    """Pull requests, changes, labels: 403."""
    api.post(PULLS, json=WISH)
    stand_in.add_token(TOKEN, push=False)
    for method, path in (
        ("POST", PULLS),
        ("PATCH", f"{PULLS}/1"),
        ("POST", f"/repos/{SLUG}/issues/1/labels"),
        ("POST", f"/repos/{SLUG}/labels"),
    ):
        assert api.request(method, path, json={}).status_code == 403
    assert api.get(f"{PULLS}/1").status_code == 200
