"""A GitHub App against the stand-in: its tokens, their renewal and revocation, and each error.

The fixture `exchanges` also checks every request and answer against GitHub's own OpenAPI description.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from moonmind_appliance.errors import AppProblem, GitHubAppError, GitHubError
from moonmind_appliance.github import GitHubApp
from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from tests.github.app import ACCOUNT, APP_ID, CLIENT_ID, Known, Wound, app_key, app_of, close_apps, register
from tests.github.exchanges import Recorder
from tests.github.openapi import Description
from tests.github.stand_in import SLUG, add_branch

OTHER = f"{ACCOUNT}/other"
NEEDED = {"contents": "write", "pull_requests": "write", "metadata": "read"}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    close_apps()


@pytest.fixture
def exchanges(descriptions: list[Description]) -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    errors = [c for d in descriptions for e in recorder.exchanges for c in d.errors(e)]
    assert not errors, "\n".join(errors)


def paths(stand_in: StandInGitHub) -> list[str]:
    return [f"{each.method} {each.path.removeprefix('/api/v3')} {each.status}" for each in stand_in.requests]


def taken(stand_in: StandInGitHub) -> int:
    return len(stand_in.installation_tokens)


def problem(app: GitHubApp, slug: str = SLUG) -> GitHubAppError:
    client = app.client(slug)
    with pytest.raises(GitHubAppError) as caught:
        client.repository(slug)
    client.tokens.end()
    # A status of which callers make a decision, such as "no such branch", would be misunderstood.
    assert caught.value.status == 401
    return caught.value


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


@pytest.mark.parametrize("long_form", [True, False])
def test_a_token_is_renewed_before_it_ends(stand_in: StandInGitHub, exchanges: Recorder, *, long_form: bool) -> None:
    """It is renewed five minutes before `expires_at`, for a longer call earlier. GitHub gets no expired token."""
    register(stand_in)
    stand_in.set_token_life(3600, long_form=long_form)
    clock = Wound(stand_in)
    client = app_of(stand_in, transport=exchanges, clock=clock).client(SLUG)
    first = client.tokens.current()
    clock.advance(2600)
    assert client.tokens.current() == first
    second = client.tokens.current(1200)
    assert second != first
    clock.advance(3250)
    assert client.tokens.current() == second
    clock.advance(60)
    assert client.tokens.current() not in (first, second)
    assert taken(stand_in) == 3


def test_a_short_life_does_not_renew_the_token_for_every_call(stand_in: StandInGitHub, exchanges: Recorder) -> None:
    """It is used for at least half of its lifetime, however long the call may take."""
    register(stand_in)
    stand_in.set_token_life(120)
    clock = Wound(stand_in)
    tokens = app_of(stand_in, transport=exchanges, clock=clock).client(SLUG).tokens
    first = tokens.current(86400)
    clock.advance(50)
    assert tokens.current(86400) == first
    clock.advance(15)
    assert tokens.current(86400) != first


def test_a_rejected_token_is_renewed_once_and_the_request_repeated(
    stand_in: StandInGitHub, exchanges: Recorder
) -> None:
    """The method does not matter: GitHub has not executed the request."""
    register(stand_in)
    add_branch(stand_in, "work/1")
    client = app_of(stand_in, transport=exchanges).client(SLUG)
    client.repository(SLUG)
    stand_in.end_token_lives()
    client.create_pull_request(SLUG, title="t", body="b", head="work/1", base="main", draft=True)
    pulls = [line for line in paths(stand_in) if "/pulls" in line]
    assert pulls == [f"POST /repos/{SLUG}/pulls 401", f"POST /repos/{SLUG}/pulls 201"]
    assert (len(stand_in.pull_requests(SLUG)), taken(stand_in)) == (1, 2)


def test_a_token_that_is_rejected_again_is_not_renewed_for_ever(stand_in: StandInGitHub) -> None:
    """The second 401 is the error."""
    register(stand_in)
    client = app_of(stand_in).client(SLUG)
    client.repository(SLUG)
    stand_in.set_token_life(-1)
    stand_in.end_token_lives()
    with pytest.raises(GitHubError) as caught:
        client.repository(SLUG)
    assert (caught.value.status, caught.value.errors, taken(stand_in)) == (401, ("Bad credentials",), 2)


def test_a_new_token_that_github_does_not_know_yet_is_used_again(stand_in: StandInGitHub) -> None:
    """GitHub's servers do not all know a new token at once. A 401 for an older token is not repeated in this way."""
    register(stand_in)
    clock = Wound(stand_in)
    client = app_of(stand_in, clock=clock, settling=(0.0, 0.0, 0.0)).client(SLUG)
    # The stand-in looks at a token twice for each request: for its headers, and for the access.
    stand_in.inject(Fault.TOKEN_LAG, times=4)
    client.repository(SLUG)
    assert [line for line in paths(stand_in) if line.startswith(f"GET /repos/{SLUG} ")] == [
        f"GET /repos/{SLUG} 401",
        f"GET /repos/{SLUG} 401",
        f"GET /repos/{SLUG} 200",
    ]
    assert taken(stand_in) == 1
    clock.advance(10)
    before = len(stand_in.requests)
    stand_in.end_token_lives()
    client.repository(SLUG)
    assert [each.status for each in stand_in.requests[before:]] == [401, 200, 201, 200]


def test_another_threads_renewal_is_used(stand_in: StandInGitHub) -> None:
    """Two requests that were rejected with the same token share one new token."""
    register(stand_in)
    tokens = app_of(stand_in).client(SLUG).tokens
    first = tokens.current()
    second = tokens.replace(first)
    assert second is not None
    assert (tokens.replace(first), tokens.current(), taken(stand_in)) == (second, second, 2)


def test_all_tokens_are_revoked_at_the_end(stand_in: StandInGitHub, exchanges: Recorder) -> None:
    """Tokens that were renewed early are revoked, too. Afterwards no token is given out. `end` may be called again."""
    register(stand_in)
    clock = Wound(stand_in)
    client = app_of(stand_in, transport=exchanges, clock=clock).client(SLUG)
    client.tokens.current()
    clock.advance(3400)
    client.tokens.current()
    client.tokens.end()
    client.tokens.end()
    assert [token.revoked for token in stand_in.installation_tokens] == [True, True]
    assert [line for line in paths(stand_in) if "DELETE" in line] == ["DELETE /installation/token 204"] * 2
    assert client.tokens.report()["revoked"] is True
    with pytest.raises(GitHubError):
        client.repository(SLUG)
    assert taken(stand_in) == 2


def test_the_end_of_an_unused_client_makes_no_request(stand_in: StandInGitHub) -> None:
    """There is nothing to revoke."""
    register(stand_in)
    client = app_of(stand_in).client(SLUG)
    client.tokens.end()
    assert (stand_in.requests, client.tokens.report()["revoked"]) == ([], False)


def test_a_token_that_is_over_is_not_revoked(stand_in: StandInGitHub) -> None:
    """By this machine's clock it expired. One that GitHub ended unnoticed counts as over, too."""
    register(stand_in)
    clock = Wound(stand_in)
    client = app_of(stand_in, clock=clock).client(SLUG)
    client.tokens.current()
    clock.advance(3700)
    client.tokens.current()
    stand_in.end_token_lives()
    client.tokens.end()
    assert [line for line in paths(stand_in) if "DELETE" in line] == ["DELETE /installation/token 401"]
    ends = [token["end"] for token in client.tokens.report()["tokens"]]
    assert (ends, client.tokens.report()["revoked"]) == (["over", "over"], True)


def test_a_rejected_token_is_revoked(stand_in: StandInGitHub) -> None:
    """A 401 does not prove that it has ended. Until the end the report says that GitHub rejected it."""
    register(stand_in)
    tokens = app_of(stand_in).client(SLUG).tokens
    tokens.replace(tokens.current())
    assert [token["end"] for token in tokens.report()["tokens"]] == ["rejected by GitHub", "in use"]
    tokens.end()
    assert [token.revoked for token in stand_in.installation_tokens] == [True, True]
    assert [token["end"] for token in tokens.report()["tokens"]] == ["revoked", "revoked"]


def test_a_rejected_token_that_cannot_be_revoked_is_reported(stand_in: StandInGitHub) -> None:
    """It may still be valid."""
    register(stand_in)
    tokens = app_of(stand_in).client(SLUG).tokens
    tokens.replace(tokens.current())
    stand_in.inject(Fault.REVOCATION_ERROR)
    tokens.end()
    stand_in.clear(Fault.REVOCATION_ERROR)
    assert {token["end"] for token in tokens.report()["tokens"]} == {"not revoked: it expires by itself"}
    assert tokens.report()["revoked"] is False


def test_the_end_after_the_client_is_closed_raises_nothing(
    stand_in: StandInGitHub, caplog: pytest.LogCaptureFixture
) -> None:
    """The appliance may be stopping. The token is reported as not revoked."""
    register(stand_in)
    app = app_of(stand_in)
    tokens = app.client(SLUG).tokens
    tokens.current()
    app.close()
    tokens.end()
    assert tokens.report()["tokens"][0]["end"] == "not revoked: it expires by itself"
    assert "could not be revoked" in caplog.text


def test_a_failed_revocation_is_reported_and_raises_nothing(
    stand_in: StandInGitHub, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says when the token expires, but not its value."""
    register(stand_in)
    client = app_of(stand_in).client(SLUG)
    token = client.tokens.current().reveal()
    stand_in.inject(Fault.SERVER_ERRORS)
    client.tokens.end()
    report = client.tokens.report()
    assert (report["revoked"], report["tokens"][0]["end"]) == (False, "not revoked: it expires by itself")
    assert "could not be revoked. It expires by itself at" in caplog.text
    assert token not in caplog.text + str(report)


def test_each_token_is_known_to_the_redactor_before_its_first_use(stand_in: StandInGitHub) -> None:
    """So is each JWT. Clients have separate names. Their tokens are forgotten when none of them can be valid."""
    register(stand_in)
    known, clock = Known(stand_in), Wound(stand_in)
    app = app_of(stand_in, known=known, clock=clock)
    first, second = app.client(SLUG), app.client(SLUG)
    token = first.tokens.current()
    (_, jwt, before), (source, learnt, at) = known.learnt
    assert (jwt.count("."), before, learnt, at) == (2, 0, token.reveal(), 2)
    second.tokens.current()
    assert known.learnt[-1][0] != source
    first.tokens.end()
    assert known.forgotten == []
    clock.advance(3700)
    second.tokens.end()
    assert known.forgotten == [source]


def test_the_report_says_why_each_token_was_taken(stand_in: StandInGitHub) -> None:
    """It has the times, the permissions and the installation, but never a value."""
    number = register(stand_in)
    clock = Wound(stand_in)
    client = app_of(stand_in, clock=clock).client(SLUG)
    values = [client.tokens.current().reveal()]
    clock.advance(3400)
    values.append(client.tokens.current().reveal())
    report = client.tokens.report()
    assert [token["why"] for token in report["tokens"]] == ["first use", "it expires soon"]
    assert (report["installation_id"], report["permissions"], report["renewed"]) == (number, NEEDED, 1)
    assert [token["end"] for token in report["tokens"]] == ["in use", "in use"]
    assert not any(value in str(report) for value in values)


def test_a_renamed_repository_is_found_by_its_number(stand_in: StandInGitHub, exchanges: Recorder) -> None:
    """GitHub redirects the old name, but gives no token for it."""
    register(stand_in)
    stand_in.rename_repository(SLUG, f"{ACCOUNT}/library")
    client = app_of(stand_in, transport=exchanges).client(SLUG)
    assert client.repository(SLUG).full_name == f"{ACCOUNT}/library"


# Errors


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
    clock = Wound()
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
    clock = Wound()
    clock.ahead = ahead
    app_of(stand_in, clock=clock).client(SLUG).repository(SLUG)


@pytest.mark.parametrize("path", ["", "/api", "/api/v3/api/v3"])
def test_a_wrong_address_of_the_api(stand_in: StandInGitHub, path: str) -> None:
    """A server that is not GitHub's API, such as an Enterprise Server without /api/v3, does not look uninstalled."""
    register(stand_in)
    api_url = f"{stand_in.server_url}{path}"
    found = problem(app_of(stand_in, api_url=api_url))
    if path == "/api/v3/api/v3":
        # GitHub's own 404: it cannot be told from a missing installation.
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


def test_an_installations_surplus_is_known(stand_in: StandInGitHub) -> None:
    """`doctor` shows the permissions that runs do not need."""
    register(stand_in, permissions={**NEEDED, "issues": "write", "contents": "write", "workflows": "write"})
    found = app_of(stand_in).installation(SLUG)
    assert (found.beyond(), found.missing()) == ({"issues": "write", "workflows": "write"}, {})
    assert found.repository_selection == "all"


def test_githubs_expiry_is_taken_over(stand_in: StandInGitHub) -> None:
    """In UTC."""
    register(stand_in)
    tokens = app_of(stand_in).client(SLUG).tokens
    tokens.current()
    (issued,) = stand_in.installation_tokens
    assert tokens.report()["tokens"][0]["expires_at"] == f"{issued.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    assert timedelta(minutes=59) < issued.expires_at - datetime.now(UTC) <= timedelta(hours=1)
