"""One exchange with GitHub: retries, redirects, refusals, and error messages."""

import http.server
import json
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from moonmind_appliance.errors import GitHubError, SettingsError
from moonmind_appliance.github.connection import API_VERSION, Connection
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.rehearsal.openai.certificates import make_certificates
from moonmind_appliance.settings import Secret
from tests.fakes import NOW, Clock
from tests.github.stand_in import SLUG, TOKEN

URL = "http://127.0.0.1/api/v3"
Answer = Callable[[httpx.Request], httpx.Response]


class Exchanged:
    """A connection to a simulated GitHub, with its requests and its pauses."""

    def __init__(self, *answers: httpx.Response | Exception, pauses: tuple[float, ...] = (1.0, 2.0)) -> None:
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []
        self.clock = Clock()
        self._answers = list(answers)
        self.connection = Connection(
            api_url=URL,
            token=Secret(TOKEN),
            timeout=5,
            ca_file=None,
            pauses=pauses,
            transport=httpx.MockTransport(self._answer),
            sleep=self.pauses.append,
            clock=self.clock,
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask(self, method: str = "GET", **options: Any) -> dict[str, Any]:
        try:
            return self.connection.ask(method, "/thing", answer=dict[str, Any], **options)
        finally:
            self.connection.close()

    def limited(self) -> GitHubError:
        """The error of one request; the connection stays open."""
        with pytest.raises(GitHubError) as caught:
            self.connection.ask("GET", "/thing", answer=dict[str, Any])
        return caught.value

    def refused(self, method: str = "GET", **options: Any) -> GitHubError:
        with pytest.raises(GitHubError) as caught:
            self.ask(method, **options)
        return caught.value


def said(status: int, body: object = None, **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=names, json={"message": "No"} if body is None else body)


def test_each_request_has_githubs_required_headers() -> None:
    """Each request has the headers that GitHub's docs require."""
    exchanged = Exchanged(said(200, {}))
    exchanged.ask()
    headers = exchanged.requests[0].headers
    assert headers["accept"] == "application/vnd.github+json"
    assert headers["x-github-api-version"] == API_VERSION
    assert headers["user-agent"].startswith("moonmind-appliance/")
    assert headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_passing_failure_is_repeated_after_growing_pauses(status: int) -> None:
    """It is repeated once per pause; the jitter is at most a quarter."""
    exchanged = Exchanged(said(status), said(status), said(200, {"right": True}))
    assert exchanged.ask() == {"right": True}
    assert len(exchanged.requests) == 3
    first, second = exchanged.pauses
    assert 0.75 <= first <= 1.25
    assert 1.5 <= second <= 2.5


def test_a_lasting_failure_is_raised_after_the_last_attempt() -> None:
    """The error has the status, or None without an answer."""
    assert Exchanged(said(503)).refused().status == 503
    silent = Exchanged(httpx.ReadTimeout("timed out"))
    error = silent.refused()
    assert (error.status, error.errors, error.untrusted) == (None, (), False)
    assert str(error) == "No response from http://127.0.0.1 to GET /api/v3/thing: timed out"
    assert len(silent.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 422, 500, 501])
def test_an_answer_that_will_not_change_is_not_repeated(status: int) -> None:
    """The error is raised at once."""
    exchanged = Exchanged(said(status))
    assert exchanged.refused().status == status
    assert exchanged.pauses == []


@pytest.mark.parametrize(
    ("failure", "times"),
    [
        (httpx.ConnectError("refused"), 3),
        (httpx.ConnectTimeout("slow"), 3),
        (httpx.ReadTimeout("slow"), 1),
        (httpx.RemoteProtocolError("gone"), 1),
        (httpx.WriteError("gone"), 1),
        (said(502), 1),
    ],
)
def test_other_requests_are_retried_only_if_they_were_never_sent(
    failure: Exception | httpx.Response, times: int
) -> None:
    """Only a connection that was never opened certainly sent nothing."""
    exchanged = Exchanged(failure)
    exchanged.refused("POST", body={}, repeatable=False)
    assert len(exchanged.requests) == times


def test_a_server_that_comes_up_meanwhile_is_reached(tmp_path: Path) -> None:
    """No server listens at first; then also a request that must not happen twice succeeds."""
    stand_in = StandInGitHub(("127.0.0.1", 0), tmp_path)
    stand_in.add_repository(SLUG)
    stand_in.add_token(TOKEN)
    stand_in.start()
    port = int(stand_in.server_url.rpartition(":")[2])
    stand_in.stop()
    later = StandInGitHub(("127.0.0.1", port), tmp_path / "later")
    later.add_token(TOKEN)
    later.add_repository(SLUG)
    connection = Connection(
        api_url=f"http://127.0.0.1:{port}/api/v3",
        token=Secret(TOKEN),
        timeout=5,
        ca_file=None,
        pauses=(0.0,),
        sleep=lambda _: later.start(),
    )
    made = connection.ask(
        "POST", f"/repos/{SLUG}/labels", body={"name": "new"}, answer=dict[str, Any], repeatable=False
    )
    connection.close()
    later.stop()
    assert made["name"] == "new"


def test_a_redirect_keeps_method_and_body() -> None:
    """This applies to each redirect status that GitHub uses."""
    for status in (301, 302, 307, 308):
        exchanged = Exchanged(said(status, location="/api/v3/repositories/1/thing?x=1"), said(200, {"right": True}))
        assert exchanged.ask("PATCH", body={"title": "t"}) == {"right": True}
        request = exchanged.requests[1]
        assert (request.method, request.url.raw_path) == ("PATCH", b"/api/v3/repositories/1/thing?x=1")
        assert json.loads(request.read()) == {"title": "t"}
        assert request.headers["content-type"] == "application/json"
        assert request.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("location", ["http://evil.invalid/thing", "https://127.0.0.1/thing", "http://127.0.0.1:8080/"])
def test_no_redirect_takes_the_token_elsewhere(location: str) -> None:
    """No request goes to another host, scheme or port."""
    exchanged = Exchanged(said(301, location=location))
    error = exchanged.refused()
    assert len(exchanged.requests) == 1
    assert (error.status, "the token was not sent there" in str(error)) == (301, True)


def test_a_redirect_in_a_circle_ends() -> None:
    """A redirect loop is an error, not a hang."""
    exchanged = Exchanged(said(301, location="/api/v3/thing"))
    assert "too many times" in str(exchanged.refused())
    assert len(exchanged.requests) == 4


def soon(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


SECONDARY = "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"


@pytest.mark.parametrize(
    ("answered", "seconds"),
    [
        (lambda: said(403, retry_after="30"), 30),
        (lambda: said(429, retry_after="0"), 0),
        (lambda: said(503, retry_after="120"), 120),
        (lambda: said(403, retry_after=format_datetime(soon(90), usegmt=True)), 90),
        (lambda: said(403, x_ratelimit_remaining="0", x_ratelimit_reset=str(int(soon(600).timestamp()))), 600),
        (lambda: said(429, x_ratelimit_remaining="0", x_ratelimit_reset=str(int(soon(600).timestamp()))), 600),
        (lambda: said(403, x_ratelimit_remaining="0"), 60),
        (lambda: said(403, x_ratelimit_remaining="0", x_ratelimit_reset="soon"), 60),
        (lambda: said(403, x_ratelimit_remaining="0", x_ratelimit_reset="9" * 30), 60),
        (lambda: said(429), 60),
        (lambda: said(403, {"message": "Slow down", "documentation_url": SECONDARY}), 60),
        (lambda: said(403), None),
        (lambda: said(403, retry_after="whenever"), None),
        (lambda: said(403, retry_after="inf"), None),
        (lambda: said(403, retry_after="-5"), None),
        (lambda: said(403, retry_after="9" * 30), None),
        (lambda: said(403, x_ratelimit_remaining="17", x_ratelimit_reset=str(int(soon(600).timestamp()))), None),
        (lambda: said(404, x_ratelimit_remaining="0", x_ratelimit_reset=str(int(soon(600).timestamp()))), None),
    ],
)
def test_githubs_requested_wait_becomes_a_time(answered: Callable[[], httpx.Response], seconds: float | None) -> None:
    """The time is from `Retry-After`, else from the used-up limit, else a minute; never from the message."""
    error = Exchanged(answered(), pauses=()).refused()
    if seconds is None:
        assert error.retry_at is None
    else:
        assert error.retry_at is not None
        assert abs((error.retry_at - soon(seconds)).total_seconds()) < 60


@pytest.mark.parametrize("limited", [said(429, retry_after="30"), said(403, retry_after="30")])
def test_no_request_is_sent_while_a_limit_applies(limited: httpx.Response) -> None:
    """GitHub may block callers that continue. The error repeats GitHub's message and time; then requests are sent."""
    exchanged = Exchanged(limited, said(200, {"right": True}))
    first = exchanged.limited()
    exchanged.clock.advance(seconds=29)
    second = exchanged.limited()
    assert (second.status, second.errors, second.retry_at) == (first.status, ("No",), first.retry_at)
    assert "was not sent" in second.message
    assert len(exchanged.requests) == 1
    exchanged.clock.advance(seconds=1)
    assert exchanged.ask() == {"right": True}


def test_a_limit_of_days_is_tried_again_after_an_hour() -> None:
    """It may have been lifted; so also after a clock that was set back by a day."""
    exchanged = Exchanged(said(429, retry_after=str(7 * 86400)), said(200, {"right": True}))
    assert exchanged.limited().retry_at == soon(7 * 86400)
    assert exchanged.limited().retry_at == soon(3600)
    exchanged.clock.advance(days=-1)
    assert exchanged.ask() == {"right": True}


@pytest.mark.parametrize("passing", [said(503, retry_after="30"), said(403), said(404), said(500)])
def test_only_a_limit_holds_requests_back(passing: httpx.Response) -> None:
    """Any other answer is about one request."""
    exchanged = Exchanged(passing, said(200, {"right": True}), pauses=())
    exchanged.limited()
    assert exchanged.ask() == {"right": True}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "Validation Failed", "errors": [{"message": "Said"}]}, ("Validation Failed", "Said")),
        ({"message": "M", "errors": [{"resource": "R", "field": "f", "code": "c"}]}, ("M", "R.f: c")),
        ({"message": "M", "errors": ["Plain", {"code": "c"}]}, ("M", "Plain", ": c")),
        ({"message": "M", "errors": "Alone"}, ("M", "Alone")),
        ({"message": "M", "errors": None}, ("M",)),
        ({}, ()),
        ([], ()),
        ("text", ()),
    ],
)
def test_githubs_messages_are_kept(body: object, words: tuple[str, ...]) -> None:
    """The error has GitHub's message and each of its errors, in every form that GitHub uses."""
    error = Exchanged(said(422, body)).refused()
    assert error.errors == words
    assert all(word in str(error) for word in words)


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (
            "required; url=https://github.com/orgs/acme/sso?authorization_request=A",
            "https://github.com/orgs/acme/sso?authorization_request=A",
        ),
        ("required;url=https://x;other=1", "https://x"),
        ("required", ""),
        ("partial-results; organizations=21955855,20582480", None),
        ("REQUIRED-ish; url=https://x", None),
        ("", None),
    ],
)
def test_only_required_single_sign_on_is_reported(header: str, address: str | None) -> None:
    """`X-GitHub-SSO`: partial results are not a refusal."""
    assert Exchanged(said(403, x_github_sso=header)).refused().sso_url == address
    assert Exchanged(said(403)).refused().sso_url is None


def test_a_block_and_missing_permissions_are_reported() -> None:
    """GitHub's reason and notice, and the permissions that it accepts."""
    block = {"reason": "dmca", "created_at": "2026-01-31T22:32:14Z", "html_url": "https://github.com/github/dmca/x"}
    error = Exchanged(said(451, {"message": "Repository access blocked", "block": block})).refused()
    assert error.errors == ("Repository access blocked", "dmca https://github.com/github/dmca/x")
    needed = Exchanged(said(403, x_accepted_github_permissions="contents=write")).refused()
    assert needed.permissions == "contents=write"


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-encoding": "gzip"}, b"not compressed"),
        ({}, b'{"message": "gr\xf6\xdfer"}'),
        ({}, b'{"message": ' + b"[" * 100_000),
        ({"retry-after": "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"}, b"no JSON"),
    ],
)
def test_a_damaged_response_is_an_error_of_github(status: int, headers: dict[str, str], body: bytes) -> None:
    """A program between the appliance and GitHub can send anything."""
    response = httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))
    assert Exchanged(response, pauses=()).refused().retry_at is None


def test_a_page_that_is_not_githubs_is_an_error() -> None:
    """A proxy's HTML is an error with any status."""
    page = b"<html>Sign in to the network</html>"
    good = Exchanged(httpx.Response(200, content=page)).refused()
    assert (good.status, "is not a GitHub response" in str(good)) == (200, True)
    bad = Exchanged(httpx.Response(407, content=page)).refused()
    assert str(bad) == "GitHub returned 407 for GET /api/v3/thing: Proxy Authentication Required"


def all_texts(error: BaseException) -> str:
    """An exception in all forms that a log could print."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(error.args) + repr(vars(error))


@pytest.mark.parametrize(
    "answer",
    [
        said(401, {"message": f"Bad credentials: {TOKEN}", "errors": [f"{TOKEN} is unknown"]}),
        said(200, [TOKEN]),
        said(301, location="http://evil.invalid/"),
        httpx.ConnectError(f"proxy said {TOKEN}"),
    ],
)
def test_the_token_is_in_no_error(answer: httpx.Response | Exception) -> None:
    """This is also true if the server's answer repeats it."""
    exchanged = Exchanged(answer, pauses=())
    error = exchanged.refused()
    assert TOKEN not in str(error) + repr(error) + repr(error.args) + repr(vars(error))
    assert TOKEN not in repr(exchanged.connection)


@pytest.mark.parametrize("token", ["ghp_with space", "ghp_\x00", "ghp_é", "ghp_\n"])
def test_a_token_that_cannot_be_one_is_refused_without_showing_it(token: str) -> None:
    """The HTTP library's own error would quote it."""
    with pytest.raises(SettingsError) as caught:
        Connection(api_url=URL, token=Secret(token), timeout=5, ca_file=None)
    assert token not in all_texts(caught.value)
    assert [problem.name for problem in caught.value.problems] == ["GITHUB_TOKEN"]


@pytest.fixture
def https_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An HTTPS server on localhost, and the file of the authority behind its certificate."""
    certificates = make_certificates(["localhost"])
    ca_file, chain = tmp_path / "ca.pem", tmp_path / "server.pem"
    ca_file.write_bytes(certificates.ca)
    chain.write_bytes(certificates.server + certificates.server_key)

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answering)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_port}", ca_file
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_own_authority_is_trusted_only_when_it_is_given(https_server: tuple[str, Path]) -> None:
    """Users of a company proxy need EXTRA_CA_CERTS."""
    url, ca_file = https_server
    for given in (ca_file, None):
        connection = Connection(api_url=url, token=Secret(TOKEN), timeout=5, ca_file=given, pauses=())
        if given:
            assert connection.ask("GET", "/thing", answer=dict[str, Any]) == {}
        else:
            with pytest.raises(GitHubError, match="CERTIFICATE_VERIFY_FAILED") as caught:
                connection.ask("GET", "/thing", answer=dict[str, Any])
            assert caught.value.untrusted
        connection.close()


def test_an_unusable_authority_file_is_a_problem_of_the_settings(tmp_path: Path) -> None:
    """The error has the setting's name."""
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(SettingsError, match="EXTRA_CA_CERTS"):
        Connection(api_url=URL, token=Secret(TOKEN), timeout=5, ca_file=file)
