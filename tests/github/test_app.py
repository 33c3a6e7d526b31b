"""A GitHub App against the stand-in: its requests, and the clients of repositories.

The fixture `exchanges` also checks every request and answer against GitHub's own OpenAPI description.
"""

import pytest

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.app import ACCOUNT, APP_ID, CLIENT_ID, NEEDED, app_of, register, taken
from tests.github.exchanges import Recorder
from tests.github.stand_in import SLUG, add_branch

OTHER = f"{ACCOUNT}/other"


def test_nothing_is_requested_before_the_first_use(stand_in: StandInGitHub, exchanges: Recorder) -> None:
    """Then one token is requested, only for that repository and the two permissions, and used for everything."""
    register(stand_in)
    stand_in.add_repository(OTHER)
    client = app_of(stand_in, transport=exchanges).client(SLUG)
    assert stand_in.requests == []
    client.repository(SLUG)
    client.branch_head(SLUG, "main")
    (token,) = stand_in.installation_tokens
    assert (token.repositories, token.permissions) == ((SLUG,), NEEDED)
    with pytest.raises(GitHubError) as caught:
        client.repository(OTHER)
    assert caught.value.status == 404


def test_a_run_opens_its_pull_request_with_the_token(stand_in: StandInGitHub, exchanges: Recorder) -> None:
    """It has its labels, and its author is the App."""
    register(stand_in, repositories=[SLUG])
    add_branch(stand_in, "work/1")
    client = app_of(stand_in, transport=exchanges).client(SLUG)
    assert client.repository(SLUG).may_push
    pull = client.create_pull_request(SLUG, title="t", body="b", head="work/1", base="main", draft=True)
    client.update_pull_request(SLUG, pull.number, title="t2", body="b2")
    client.add_labels(SLUG, pull.number, ["spec-kit"])
    (hosted,) = stand_in.pull_requests(SLUG)
    assert (hosted.user, hosted.labels, taken(stand_in)) == (f"moonmind-{APP_ID}[bot]", ("spec-kit",), 1)


def test_a_client_id_is_as_good_as_the_id(stand_in: StandInGitHub, exchanges: Recorder) -> None:
    """GitHub accepts both as the issuer."""
    register(stand_in)
    assert app_of(stand_in, app_id=CLIENT_ID, transport=exchanges).registered().id == APP_ID


def test_a_renamed_repository_is_found_by_its_number(stand_in: StandInGitHub, exchanges: Recorder) -> None:
    """GitHub redirects the old name, but gives no token for it."""
    register(stand_in)
    stand_in.rename_repository(SLUG, f"{ACCOUNT}/library")
    client = app_of(stand_in, transport=exchanges).client(SLUG)
    assert client.repository(SLUG).full_name == f"{ACCOUNT}/library"
