"""The stand-in's pull requests follow GitHub's rules: each response is checked against GitHub's OpenAPI description."""

import httpx
import pytest

from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from moonmind_appliance.rehearsal.github.state import OTHER_USER
from tests.github.stand_in import SLUG, add_branch, git
from tests.rehearsal.github.hosted import PULLS, WISH


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
