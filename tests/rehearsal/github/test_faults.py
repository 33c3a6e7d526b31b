"""Faults of the stand-in GitHub."""

from pathlib import Path

import httpx
import pytest

from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.rehearsal.github.state import OTHER_USER
from tests.github.stand_in import SLUG, TOKEN, attempt, git
from tests.rehearsal.github.hosted import AUTH


def test_an_unknown_fault_is_refused(stand_in: StandInGitHub) -> None:
    """The message contains the given name."""
    with pytest.raises(ValueError, match="rainy-day"):
        stand_in.inject("rainy-day")


def test_a_fault_occurs_as_often_as_requested(stand_in: StandInGitHub) -> None:
    """Without a number it occurs until it is cleared; clearing is safe twice."""

    def status() -> int:
        return httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH).status_code

    stand_in.inject("server-errors", times=2)
    assert [status() for _ in range(3)] == [502, 502, 200]
    stand_in.inject("server-errors")
    assert [status() for _ in range(3)] == [502, 502, 502]
    stand_in.clear("server-errors")
    stand_in.clear("server-errors")
    assert status() == 200


def test_unreachable_closes_every_connection(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """Connections of REST and git are closed without any response."""
    stand_in.inject("unreachable")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH)
    failed = attempt("clone", stand_in.clone_url(SLUG), tmp_path / "clone", token=TOKEN)
    assert failed.returncode == 128
    assert {request.status for request in stand_in.requests} == {None}


def test_slow_responses_arrive(stand_in: StandInGitHub) -> None:
    """A caller with a short timeout gives up; one with a longer timeout gets the response."""
    stand_in.inject("slow")
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH, timeout=0.2)
    assert httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH, timeout=10).status_code == 200


def test_another_user_opens_a_pull_request_from_each_new_branch(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The fault pr-exists: the pull request is open when the push ends; a second push opens no other one."""
    stand_in.inject("pr-exists")
    folder = tmp_path / "clone"
    git("clone", "-q", stand_in.clone_url(SLUG), folder, token=TOKEN)
    for _ in range(2):
        git("commit", "-q", "--allow-empty", "-m", "work", folder=folder)
        git("push", "-q", "origin", "HEAD:work/1", folder=folder, token=TOKEN)
        (pull,) = stand_in.pull_requests(SLUG)
        assert (pull.head, pull.base, pull.user, pull.draft) == ("work/1", "main", OTHER_USER, False)
        assert pull.head_sha == git("rev-parse", "HEAD", folder=folder)


def test_drafts_are_refused_on_every_repository(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The fault draft-refused; a regular pull request is accepted."""
    stand_in.inject("draft-refused")
    folder = tmp_path / "clone"
    git("clone", "-q", stand_in.clone_url(SLUG), folder, token=TOKEN)
    git("commit", "-q", "--allow-empty", "-m", "work", folder=folder)
    git("push", "-q", "origin", "HEAD:work/1", folder=folder, token=TOKEN)
    fields = {"title": "t", "head": "work/1", "base": "main"}
    address = f"{stand_in.api_url}/repos/{SLUG}/pulls"
    refused = httpx.post(address, headers=AUTH, json={**fields, "draft": True})
    assert refused.status_code == 422
    assert refused.json()["message"] == "Draft pull requests are not supported in this repository."
    assert httpx.post(address, headers=AUTH, json={**fields, "draft": False}).status_code == 201
