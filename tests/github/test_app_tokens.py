"""The installation tokens of one repository: their renewal and revocation, and what is reported about them."""

from datetime import UTC, datetime, timedelta

import pytest

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from tests.github.app import NEEDED, ShiftedClock, app_of, register, taken
from tests.github.exchanges import Recorder
from tests.github.stand_in import SLUG, add_branch


def paths(stand_in: StandInGitHub) -> list[str]:
    return [f"{each.method} {each.path.removeprefix('/api/v3')} {each.status}" for each in stand_in.requests]


@pytest.mark.parametrize("long_form", [True, False])
def test_a_token_is_renewed_before_it_ends(stand_in: StandInGitHub, exchanges: Recorder, *, long_form: bool) -> None:
    """It is renewed five minutes before `expires_at`, for a longer call earlier. GitHub gets no expired token."""
    register(stand_in)
    stand_in.set_token_life(3600, long_form=long_form)
    clock = ShiftedClock(stand_in)
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
    clock = ShiftedClock(stand_in)
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
    clock = ShiftedClock(stand_in)
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
    clock = ShiftedClock(stand_in)
    client = app_of(stand_in, transport=exchanges, clock=clock).client(SLUG)
    client.tokens.current()
    clock.advance(3400)
    client.tokens.current()
    client.tokens.end()
    client.tokens.end()
    assert [token.revoked for token in stand_in.installation_tokens] == [True, True]
    assert [line for line in paths(stand_in) if "DELETE" in line] == ["DELETE /installation/token 204"] * 2
    assert client.tokens.report().revoked is True
    with pytest.raises(GitHubError):
        client.repository(SLUG)
    assert taken(stand_in) == 2


def test_the_end_of_an_unused_client_makes_no_request(stand_in: StandInGitHub) -> None:
    """There is nothing to revoke."""
    register(stand_in)
    client = app_of(stand_in).client(SLUG)
    client.tokens.end()
    assert (stand_in.requests, client.tokens.report().revoked) == ([], False)


def test_a_token_that_is_over_is_not_revoked(stand_in: StandInGitHub) -> None:
    """By this machine's clock it expired. One that GitHub ended unnoticed counts as over, too."""
    register(stand_in)
    clock = ShiftedClock(stand_in)
    client = app_of(stand_in, clock=clock).client(SLUG)
    client.tokens.current()
    clock.advance(3700)
    client.tokens.current()
    stand_in.end_token_lives()
    client.tokens.end()
    assert [line for line in paths(stand_in) if "DELETE" in line] == ["DELETE /installation/token 401"]
    ends = [token.end for token in client.tokens.report().tokens]
    assert (ends, client.tokens.report().revoked) == (["over", "over"], True)


def test_a_rejected_token_is_revoked(stand_in: StandInGitHub) -> None:
    """A 401 does not prove that it has ended. Until the end the report says that GitHub rejected it."""
    register(stand_in)
    tokens = app_of(stand_in).client(SLUG).tokens
    tokens.replace(tokens.current())
    assert [token.end for token in tokens.report().tokens] == ["rejected by GitHub", "in use"]
    tokens.end()
    assert [token.revoked for token in stand_in.installation_tokens] == [True, True]
    assert [token.end for token in tokens.report().tokens] == ["revoked", "revoked"]


def test_a_rejected_token_that_cannot_be_revoked_is_reported(stand_in: StandInGitHub) -> None:
    """It may still be valid."""
    register(stand_in)
    tokens = app_of(stand_in).client(SLUG).tokens
    tokens.replace(tokens.current())
    stand_in.inject(Fault.REVOCATION_ERROR)
    tokens.end()
    stand_in.clear(Fault.REVOCATION_ERROR)
    assert {token.end for token in tokens.report().tokens} == {"not revoked: it expires by itself"}
    assert tokens.report().revoked is False


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
    assert tokens.report().tokens[0].end == "not revoked: it expires by itself"
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
    assert (report.revoked, report.tokens[0].end) == (False, "not revoked: it expires by itself")
    assert "could not be revoked. It expires by itself at" in caplog.text
    assert token not in caplog.text + str(report)


def test_the_report_says_why_each_token_was_taken(stand_in: StandInGitHub) -> None:
    """It has the times, the permissions and the installation, but never a value."""
    number = register(stand_in)
    clock = ShiftedClock(stand_in)
    client = app_of(stand_in, clock=clock).client(SLUG)
    values = [client.tokens.current().reveal()]
    clock.advance(3400)
    values.append(client.tokens.current().reveal())
    report = client.tokens.report()
    assert [token.why for token in report.tokens] == ["first use", "it expires soon"]
    assert (report.installation_id, report.permissions, report.renewed) == (number, NEEDED, 1)
    assert [token.end for token in report.tokens] == ["in use", "in use"]
    assert not any(value in str(report) for value in values)


def test_githubs_expiry_is_taken_over(stand_in: StandInGitHub) -> None:
    """In UTC."""
    register(stand_in)
    tokens = app_of(stand_in).client(SLUG).tokens
    tokens.current()
    (issued,) = stand_in.installation_tokens
    assert tokens.report().tokens[0].expires_at == f"{issued.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    assert timedelta(minutes=59) < issued.expires_at - datetime.now(UTC) <= timedelta(hours=1)
