"""The errors of an App's requests name their cause."""

from typing import Any

import httpx
import pytest

from moonmind_appliance.errors import AppProblem, GitHubAppError, GitHubError
from moonmind_appliance.github import GitHubApp
from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from tests.github.app import ACCOUNT, APP_ID, ShiftedClock, app_key, app_of, register, taken
from tests.github.exchanges import Recorder
from tests.github.stand_in import SLUG

OTHER = f"{ACCOUNT}/other"


def problem(app: GitHubApp, slug: str = SLUG) -> GitHubAppError:
    client = app.client(slug)
    with pytest.raises(GitHubAppError) as caught:
        client.repository(slug)
    client.tokens.end()
    # A status of which callers make a decision, such as "no such branch", would be misunderstood.
    assert caught.value.status == 401
    return caught.value


def test_an_app_that_is_not_installed(stand_in: StandInGitHub, exchanges: Recorder) -> None:
    """It may be installed nowhere, on another account, or on other repositories. GitHub answers 404 in each case."""
    stand_in.add_app(APP_ID, app_key().as_pem(private=False))
    stand_in.add_repository(OTHER)
    app = app_of(stand_in, transport=exchanges)
    assert problem(app).problem is AppProblem.NOT_INSTALLED
    stand_in.install_app(APP_ID, "somebody")
    assert problem(app).problem is AppProblem.NOT_INSTALLED
    stand_in.install_app(APP_ID, ACCOUNT, repositories=[OTHER])
    assert SLUG in problem(app).message
    assert problem(app, f"{ACCOUNT}/none").problem is AppProblem.NOT_INSTALLED


def test_an_app_that_was_removed_during_a_run(stand_in: StandInGitHub, exchanges: Recorder) -> None:
    """The token is rejected, and there is no other."""
    register(stand_in)
    client = app_of(stand_in, transport=exchanges).client(SLUG)
    client.repository(SLUG)
    stand_in.uninstall_app(APP_ID, ACCOUNT)
    with pytest.raises(GitHubAppError) as caught:
        client.branch_head(SLUG, "main")
    assert caught.value.problem is AppProblem.NOT_INSTALLED


def test_a_suspended_installation(stand_in: StandInGitHub, exchanges: Recorder) -> None:
    """It is found before a token is requested. GitHub refuses an existing token with its own message."""
    register(stand_in)
    client = app_of(stand_in, transport=exchanges).client(SLUG)
    client.repository(SLUG)
    register(stand_in, suspended=True)
    assert problem(app_of(stand_in, transport=exchanges)).problem is AppProblem.SUSPENDED
    with pytest.raises(GitHubError) as caught:
        client.repository(SLUG)
    assert (caught.value.status, caught.value.errors) == (403, ("This installation has been suspended",))


@pytest.mark.parametrize(
    ("permissions", "missing"),
    [
        ({"contents": "read", "pull_requests": "write"}, "contents: write"),
        ({"contents": "write"}, "pull_requests: write"),
        ({"issues": "write"}, "contents: write, pull_requests: write"),
    ],
)
def test_a_missing_permission_is_named(
    stand_in: StandInGitHub, exchanges: Recorder, permissions: dict[str, str], missing: str
) -> None:
    """No token with fewer permissions is requested."""
    register(stand_in, permissions=permissions)
    found = problem(app_of(stand_in, transport=exchanges))
    assert (found.problem, found.message.endswith(f"does not have the permissions {missing}.")) == (
        AppProblem.PERMISSION,
        True,
    )
    assert taken(stand_in) == 0


@pytest.mark.parametrize("asked", ["another key", "another app", "unknown app"])
def test_a_key_that_is_not_the_apps(stand_in: StandInGitHub, exchanges: Recorder, asked: str) -> None:
    """The message names both settings; GitHub does not say which of them is wrong."""
    register(stand_in)
    stand_in.add_app(4712, app_key(1).as_pem(private=False), client_id="Iv23liOther00000")
    options: dict[str, Any] = {
        "another key": {"key": app_key(1)},
        "another app": {"app_id": "4712"},
        "unknown app": {"app_id": "99"},
    }[asked]
    found = problem(app_of(stand_in, transport=exchanges, **options))
    assert found.problem is AppProblem.REJECTED
    assert "GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY" in found.message


@pytest.mark.parametrize(("ahead", "side"), [(900, "ahead of"), (90, "ahead of"), (-900, "behind")])
def test_a_wrong_clock_is_measured(stand_in: StandInGitHub, exchanges: Recorder, ahead: int, side: str) -> None:
    """The message says by how much this machine's clock differs, from GitHub's Date header."""
    register(stand_in)
    clock = ShiftedClock()
    clock.ahead = ahead
    found = problem(app_of(stand_in, transport=exchanges, clock=clock))
    assert found.problem is AppProblem.CLOCK
    assert f" s {side} GitHub's." in found.message
    seconds = int(found.message.partition("clock is ")[2].partition(" s ")[0])
    assert abs(seconds - abs(ahead)) < 30


@pytest.mark.parametrize("ahead", [50, -500])
def test_a_small_difference_of_the_clocks_does_not_matter(stand_in: StandInGitHub, ahead: int) -> None:
    """GitHub accepts what is issued up to now, and the JWT is valid for nine minutes."""
    register(stand_in)
    clock = ShiftedClock()
    clock.ahead = ahead
    app_of(stand_in, clock=clock).client(SLUG).repository(SLUG)


@pytest.mark.parametrize("path", ["", "/api", "/api/v3/api/v3"])
def test_a_wrong_address_of_the_api(stand_in: StandInGitHub, path: str) -> None:
    """A server that is not GitHub's API, such as an Enterprise Server without /api/v3, does not look uninstalled."""
    register(stand_in)
    api_url = f"{stand_in.server_url}{path}"
    found = problem(app_of(stand_in, api_url=api_url))
    if path == "/api/v3/api/v3":
        # GitHub's own 404: it cannot be distinguished from a missing installation.
        assert found.problem is AppProblem.NOT_INSTALLED
    else:
        assert (found.problem, api_url in found.message) == (AppProblem.ADDRESS, True)


@pytest.mark.parametrize("status", [200, 302])
def test_a_login_page_is_not_githubs_api(stand_in: StandInGitHub, status: int) -> None:
    """As an Enterprise Server in private mode answers."""
    page = httpx.Response(status, html="<html>Sign in</html>", headers={"location": "/login"} if status == 302 else {})
    app = app_of(stand_in, transport=httpx.MockTransport(lambda _: page))
    found = problem(app)
    assert found.problem is AppProblem.ADDRESS


@pytest.mark.parametrize("fault", [Fault.SERVER_ERRORS, Fault.UNREACHABLE, Fault.RATE_LIMITED])
def test_an_outage_while_a_token_is_taken_is_an_outage(stand_in: StandInGitHub, fault: Fault) -> None:
    """Not a problem of the App: the run waits."""
    register(stand_in)
    client = app_of(stand_in).client(SLUG)
    stand_in.inject(fault)
    with pytest.raises(GitHubError) as caught:
        client.repository(SLUG)
    assert not isinstance(caught.value, GitHubAppError)
    stand_in.clear(fault)


def test_a_token_that_no_header_can_contain_is_not_githubs(stand_in: StandInGitHub) -> None:
    """A server that is not GitHub gave it. The error does not contain it, and does not blame GITHUB_TOKEN."""
    register(stand_in)
    real = httpx.HTTPTransport()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(201, json={"token": "ghs_a b", "expires_at": "2030-01-01T00:00:00Z"})
        return real.handle_request(request)

    found = problem(app_of(stand_in, transport=httpx.MockTransport(answer)))
    real.close()
    assert found.problem is AppProblem.ADDRESS
    assert "ghs_a b" not in str(found)
