"""The stand-in's REST API is as strict as GitHub's: each response is checked against GitHub's OpenAPI description."""

import httpx
import pytest

from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from moonmind_appliance.rehearsal.github.state import OTHER_USER
from tests.github.stand_in import SLUG, TOKEN, add_branch, git
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


def test_one_pull_request_for_each_head_and_base(stand_in: StandInGitHub, api: httpx.Client, branch: str) -> None:
    """A second one only for another base, or after the first is closed."""
    add_branch(stand_in, "release")
    assert api.post(PULLS, json=WISH).status_code == 201
    twice = api.post(PULLS, json={**WISH, "head": "acme:work/1"})
    assert twice.json()["errors"][0]["message"] == "A pull request already exists for acme:work/1."
    assert api.post(PULLS, json={**WISH, "base": "release"}).status_code == 201
    assert api.patch(f"{PULLS}/1", json={"state": "closed"}).json()["state"] == "closed"
    assert api.post(PULLS, json=WISH).json()["number"] == 3


def test_branches_without_a_common_commit_are_not_merged(stand_in: StandInGitHub, api: httpx.Client) -> None:
    """With GitHub's message."""
    bare = stand_in.git_folder(SLUG)
    git("update-ref", "refs/heads/alone", git("commit-tree", "-m", "x", "main^{tree}", folder=bare), folder=bare)
    answer = api.post(PULLS, json={**WISH, "head": "alone"})
    assert answer.json()["errors"][0]["message"] == "The alone branch has no history in common with main"


def test_an_archived_repository_rejects_pull_requests(stand_in: StandInGitHub, api: httpx.Client) -> None:
    """403; reading still works."""
    stand_in.add_repository("acme/old", archived=True)
    add_branch(stand_in, "work/1", slug="acme/old")
    assert api.get("/repos/acme/old/pulls").json() == []
    refused = api.post("/repos/acme/old/pulls", json=WISH)
    assert (refused.status_code, refused.json()["message"]) == (403, "Repository was archived so is read-only.")


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


def test_pull_requests_are_filtered(stand_in: StandInGitHub, api: httpx.Client) -> None:
    """By state, head and base; a head without an owner is ignored, as GitHub does."""
    for name in ("work/1", "work/2", "release"):
        add_branch(stand_in, name)
    for wish in (WISH, {**WISH, "head": "work/2"}, {**WISH, "base": "release"}):
        assert api.post(PULLS, json=wish).status_code == 201
    api.patch(f"{PULLS}/2", json={"state": "closed"})

    def found(**filters: str) -> list[int]:
        return [pull["number"] for pull in api.get(PULLS, params=filters).json()]

    assert found() == [3, 1]
    assert found(state="closed") == [2]
    assert found(state="all") == [3, 2, 1]
    assert found(head="acme:work/1") == [3, 1]
    assert found(head="ACME:work/1", base="main") == [1]
    assert found(head="someone:work/1") == []
    assert found(head="work/2") == [3, 1]
    assert found(base="release") == [3]


@pytest.mark.parametrize("query", ["state=opened", "sort=name", "direction=up"])
def test_a_filter_that_does_not_exist_is_refused(api: httpx.Client, query: str) -> None:
    """422 with the field."""
    answer = api.get(f"{PULLS}?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


def test_an_update_is_checked_like_a_new_pull_request(stand_in: StandInGitHub, api: httpx.Client, branch: str) -> None:
    """Title, state, base; the pull request's body may be empty."""
    api.post(PULLS, json={**WISH, "body": "text"})
    for body in ({"title": " "}, {"state": "merged"}, {"base": "none"}, {"title": None}, {"draft": False}):
        assert api.patch(f"{PULLS}/1", json=body).status_code == 422
    assert api.patch(f"{PULLS}/1", json={"body": None}).json()["body"] is None
    assert api.patch(f"{PULLS}/1", json={}).json()["title"] == "t"


def test_another_users_pull_request_wins_the_race(stand_in: StandInGitHub, api: httpx.Client) -> None:
    """The fault pr-raced: our request is refused, and the other user's pull request exists."""
    add_branch(stand_in, "work/1")
    stand_in.inject(Fault.PR_RACED)
    assert api.post(PULLS, json=WISH).status_code == 422
    (theirs,) = stand_in.pull_requests(SLUG)
    assert theirs.user == OTHER_USER
