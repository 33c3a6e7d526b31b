"""Attacks on the login broker's real TLS sockets: how each is answered, and that nothing of it reaches OpenAI."""

import contextlib
import random
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.in_container.broker_request import BODY_LIMIT, HEAD_LIMIT
from moonmind_appliance.in_container.egress_proxy import Limits
from tests.in_container.broker_served import BEARER, FRAME, GOOD, REFRESH, Served, post, read_answer, refresh, request


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("attacked"), limits=Limits(5.0, head=1.0)) as running:
        yield running


# Each with the status of its answer.
ATTACKS: dict[str, tuple[bytes, int]] = {
    "another path": (request(b"/backend-api/conversations"), 403),
    "no path": (request(b"/"), 403),
    "the search of the model's tool": (request(b"/backend-api/codex/alpha/search", b"POST"), 403),
    "an upload": (request(b"/backend-api/files", b"POST"), 403),
    "a path below an allowed one": (request(b"/backend-api/codex/responses/x", b"POST"), 403),
    "a path that begins like an allowed one": (request(b"/backend-api/codex/responsesx", b"POST"), 403),
    "a slash at the end": (request(b"/backend-api/codex/models/"), 403),
    "two dots": (request(b"/backend-api/codex/../wham/usage"), 403),
    "two dots after an allowed path": (request(b"/backend-api/codex/models/../../conversations"), 403),
    "percent-encoded dots": (request(b"/backend-api/codex/models/%2e%2e/x"), 403),
    "a percent-encoded letter": (request(b"/backend-api/codex/model%73"), 403),
    "two slashes": (request(b"/backend-api//codex/models"), 403),
    "two slashes first": (request(b"//chatgpt.com/backend-api/codex/models"), 403),
    "a backslash": (request(b"/backend-api\\codex\\models"), 403),
    "a parameter of the path": (request(b"/backend-api/codex/models;x=/../y"), 403),
    "another case": (request(b"/backend-api/Codex/models"), 403),
    "the absolute form": (request(b"https://chatgpt.com/backend-api/codex/models"), 403),
    "the absolute form of another host": (request(b"http://evil.example/backend-api/codex/models"), 403),
    "an asterisk": (request(b"*", b"OPTIONS"), 403),
    "a fragment": (request(b"/backend-api/codex/models?a#b"), 403),
    "a URL in the query": (request(b"/backend-api/codex/models?u=https://evil.example/"), 403),
    "a long query": (request(b"/backend-api/codex/models?" + b"a" * 2000), 403),
    "another method": (request(b"/backend-api/codex/models", b"DELETE"), 403),
    "GET for POST": (request(b"/backend-api/codex/responses"), 403),
    "HEAD": (request(b"/backend-api/codex/models", b"HEAD"), 403),
    "a method in lower case": (request(b"/backend-api/codex/models", b"get"), 403),
    "TRACE": (request(b"/backend-api/codex/models", b"TRACE"), 403),
    "CONNECT inside": (request(b"evil.example:443", b"CONNECT"), 403),
    "a method in a header": (request(b"/backend-api/codex/models", more=b"X-HTTP-Method-Override: DELETE\r\n"), 400),
    "a path in a header": (request(b"/backend-api/codex/models", more=b"X-Original-URL: /other\r\n"), 400),
    "no login": (post(b"Host: chatgpt.com\r\nContent-Length: 0\r\n"), 403),
    "another login": (post(b"Host: chatgpt.com\r\nAuthorization: Bearer eyJ.e30.x\r\nContent-Length: 0\r\n"), 403),
    "a part of the login": (post(b"Host: chatgpt.com\r\nAuthorization: Bearer\r\nContent-Length: 0\r\n"), 403),
    "another scheme": (post(b"Host: chatgpt.com\r\nAuthorization: Basic {bearer}\r\nContent-Length: 0\r\n"), 403),
    "the login and more": (
        post(b"Host: chatgpt.com\r\nAuthorization: Bearer {bearer},x\r\nContent-Length: 0\r\n"),
        403,
    ),
    "two logins": (post(FRAME + BEARER), 400),
    "two logins, one with an underscore": (post(FRAME + b"ChatGPT-Account-ID: a\r\nchatgpt_account_id: b\r\n"), 400),
    "an account with an underscore": (post(FRAME + b"chatgpt_account_id: b\r\n"), 400),
    "chunks with an underscore": (post(FRAME + b"Transfer_Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    "a length with an underscore": (request(b"/backend-api/codex/models", more=b"content_length: 30\r\n"), 400),
    "a path in a header with an underscore": (
        request(b"/backend-api/codex/models", more=b"X_Original-URL: /x\r\n"),
        400,
    ),
    "no host": (post(BEARER + b"Content-Length: 0\r\n"), 400),
    "another host": (post(BEARER + b"Host: evil.example\r\nContent-Length: 0\r\n"), 421),
    "the other host of the broker": (post(BEARER + b"Host: auth.openai.com\r\nContent-Length: 0\r\n"), 421),
    "another port": (post(BEARER + b"Host: chatgpt.com:8443\r\nContent-Length: 0\r\n"), 421),
    "a host with a user": (post(BEARER + b"Host: x@chatgpt.com\r\nContent-Length: 0\r\n"), 421),
    "two hosts": (post(FRAME + b"Host: chatgpt.com\r\n"), 400),
    "a length and chunks": (post(FRAME + b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    "two lengths": (post(FRAME + b"Content-Length: 1\r\n"), 400),
    "two lengths in one": (post(BEARER + b"Host: chatgpt.com\r\nContent-Length: 0, 1\r\n"), 400),
    "a length with a sign": (post(BEARER + b"Host: chatgpt.com\r\nContent-Length: +1\r\n", b"x"), 400),
    "a negative length": (post(BEARER + b"Host: chatgpt.com\r\nContent-Length: -1\r\n"), 400),
    "a length that is too large": (
        post(BEARER + b"Host: chatgpt.com\r\nContent-Length: %d\r\n" % (BODY_LIMIT + 1)),
        413,
    ),
    "another coding": (post(BEARER + b"Host: chatgpt.com\r\nTransfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 400),
    "a coding with a tab": (
        post(BEARER + b"Host: chatgpt.com\r\nTransfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
        400,
    ),
    "two codings": (post(BEARER + b"Host: chatgpt.com\r\n" + b"Transfer-Encoding: chunked\r\n" * 2, b"0\r\n\r\n"), 400),
    "a chunk that is not hexadecimal": (
        post(BEARER + b"Host: chatgpt.com\r\nTransfer-Encoding: chunked\r\n", b"zz\r\nx\r\n0\r\n\r\n"),
        400,
    ),
    "a chunk without its end": (
        post(BEARER + b"Host: chatgpt.com\r\nTransfer-Encoding: chunked\r\n", b"1\r\nxyz0\r\n\r\n"),
        400,
    ),
    "a body of GET": (b"GET /backend-api/codex/models HTTP/1.1\r\n" + FRAME.replace(b": 0", b": 1") + b"\r\nx", 400),
    "a length of many digits": (post(BEARER + b"Host: chatgpt.com\r\nContent-Length: " + b"1" * 5000 + b"\r\n"), 400),
    "a space before the colon": (post(FRAME + b"X : 1\r\n"), 400),
    "a folded header": (post(FRAME + b"X: 1\r\n 2\r\n"), 400),
    "a header without a name": (post(FRAME + b": 1\r\n"), 400),
    "a carriage return alone": (post(FRAME + b"X: a\rY: b\r\n"), 400),
    "a line feed alone": (post(FRAME + b"X: a\nY: b\r\n"), 400),
    "NUL": (post(FRAME + b"X: a\0b\r\n"), 400),
    "a control character": (post(FRAME + b"X: a\x1bb\r\n"), 400),
    "an empty line first": (b"\r\n" + GOOD, 400),
    "HTTP/1.0": (GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "no HTTP": (b"\x00\x01\x02\r\n\r\n", 400),
    "an upgrade": (post(FRAME + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"), 400),
    "a WebSocket elsewhere": (request(b"/backend-api/x", more=b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), 403),
    "a header named for removal": (post(FRAME + b"Connection: authorization\r\n"), 400),
    "Expect": (post(FRAME + b"Expect: 100-continue\r\n"), 417),
    "many headers": (post(FRAME + b"X: 1\r\n" * 200), 431),
    "a large header": (post(FRAME + b"X: " + b"a" * HEAD_LIMIT + b"\r\n"), 431),
    "a slow request": (b"POST /backend-api", 408),
}


SIGN_IN_ATTACKS: dict[str, tuple[bytes, int]] = {
    "another refresh token": (refresh(REFRESH.replace(b"{refresh}", b"rt_real")), 403),
    "another grant": (refresh(REFRESH.replace(b'grant_type":"refresh_token', b'grant_type":"authorization_code')), 403),
    "a form": (refresh(b"grant_type=refresh_token&refresh_token={refresh}"), 403),
    "no JSON": (refresh(b"["), 403),
    "deep JSON": (refresh(b"[" * 8000), 403),
    "a large body": (refresh(b'{"a":"' + b"a" * 20_000 + b'"}'), 413),
    "a revocation": (refresh(REFRESH, b"/oauth/revoke"), 403),
    "a sign-in with a device": (refresh(REFRESH, b"/api/accounts/deviceauth/usercode"), 403),
    "a query": (refresh(REFRESH, b"/oauth/token?x"), 403),
    "GET of the sign-in": (refresh(REFRESH, method=b"GET"), 403),
    "a path of the other host": (refresh(REFRESH, b"/backend-api/codex/responses"), 403),
}


@pytest.mark.parametrize("attack", [*ATTACKS, *SIGN_IN_ATTACKS])
def test_each_attack_is_answered_at_once(attacked: Served, attack: str) -> None:
    """The answer is an error, the connection is closed, and nothing of it is complete at OpenAI."""
    raw, status = ATTACKS[attack] if attack in ATTACKS else SIGN_IN_ATTACKS[attack]
    before, known = len(attacked.requests), len(attacked.lines)
    answer = attacked.ask(raw, "chatgpt.com" if attack in ATTACKS else "auth.openai.com")
    assert answer.split(b" ")[:2] == [b"HTTP/1.1", str(status).encode()]
    assert b"Connection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert attacked.requests[before:] == []
    refused = [line for line in attacked.lines[known:] if line.get("outcome") == "refused"]
    assert all(line["target"].startswith("https://") for line in refused)
    assert attacked.checks == 0


def test_a_request_that_comes_too_early_never_joins_another(served: Served) -> None:
    """It is checked on its own, or refused."""
    bad = request(b"/backend-api/conversations")
    with served.connect() as connection:
        connection.sendall(served.filled(GOOD + bad))
        assert read_answer(connection)[0].startswith(b"HTTP/1.1 200 ")
        assert read_answer(connection)[0].startswith(b"HTTP/1.1 403 ")
    with_body = post(FRAME.replace(b": 0", b": 2"), b"ok")
    assert served.ask(with_body + bad).startswith(b"HTTP/1.1 400 ")
    assert [head.split(b" ")[1] for head, _ in served.requests] == [b"/backend-api/codex/responses"] * len(
        served.requests
    )


def test_a_request_that_is_too_slow_after_another_gets_an_answer(tmp_path: Path) -> None:
    """As the first one of a connection."""
    with Served(tmp_path, limits=Limits(5.0, head=0.3)) as served, served.connect() as connection:
        connection.sendall(served.filled(GOOD))
        read_answer(connection)
        connection.sendall(b"POST /")
        assert read_answer(connection)[0].startswith(b"HTTP/1.1 408 ")


def test_the_number_of_connections_is_limited(tmp_path: Path) -> None:
    """Those to OpenAI count with all others of the wall."""
    with Served(tmp_path, limits=Limits(30.0, connections=5)) as served:
        connections = [served.connect() for _ in range(5)]
        with socket.create_connection(("127.0.0.1", served.port), 10) as more:
            more.sendall(b"CONNECT chatgpt.com:443 HTTP/1.1\r\n\r\n")
            assert more.recv(1000).startswith(b"HTTP/1.1 503 ")
        for each in connections:
            each.close()


def test_a_body_beyond_the_limit_is_ended(served: Served) -> None:
    """Chunks do not show their sum in advance."""
    start = post(BEARER + b"Host: chatgpt.com\r\nTransfer-Encoding: chunked\r\n")
    piece = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    with served.connect() as connection:
        connection.sendall(served.filled(start))
        with contextlib.suppress(OSError):
            for _ in range(BODY_LIMIT // 0x100000 + 20):
                connection.sendall(piece)
    assert served.recorded("refused") == {"https://chatgpt.com": "the body is too large"}


def test_silent_connections_are_ended(tmp_path: Path) -> None:
    """Before the handshake, and between two requests."""
    with Served(tmp_path, limits=Limits(0.5, hello=0.5)) as served:
        with socket.create_connection(("127.0.0.1", served.port), 10) as silent:
            silent.sendall(b"CONNECT chatgpt.com:443 HTTP/1.1\r\n\r\n")
            assert silent.recv(1000).startswith(b"HTTP/1.1 200 ")
            assert silent.recv(1000) == b""
        with served.connect() as connection:
            connection.sendall(served.filled(GOOD))
            read_answer(connection)
            with contextlib.suppress(ConnectionResetError, ssl.SSLError):
                assert connection.recv(1000) == b""


def test_a_flood_does_not_stop_a_request(served: Served) -> None:
    """Three hundred connections with half a handshake, a refused request, or half of one."""
    with served.connect() as connection:
        for number in range(300):
            with socket.create_connection(("127.0.0.1", served.port), 10) as flood:
                flood.sendall(b"CONNECT chatgpt.com:443 HTTP/1.1\r\n\r\n")
                flood.recv(100)
                flood.sendall((b"", b"\x16\x03\x01\x00\xff\x01", b"POST / HTTP/1.1\r\n\r\n")[number % 3])
        connection.sendall(served.filled(GOOD))
        assert read_answer(connection)[1] == b"ok"


def test_random_changes_never_reach_openai_or_end_the_broker(served: Served) -> None:
    """A request with a changed head passes only if its path and login are right."""
    chance = random.Random(53)  # noqa: S311 - reproducible, not secret
    good = served.filled(GOOD)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with served.connect() as connection:
            connection.sendall(bytes(data) + b"\r\n\r\n")
            connection.settimeout(0.02)
            with contextlib.suppress(TimeoutError, OSError):
                connection.recv(1000)
    time.sleep(0.1)
    for head, _ in served.requests:
        assert head.startswith(b"POST /backend-api/codex/responses")
        assert served.tokens.access_token.encode() in head
    assert served.ask(GOOD).startswith(b"HTTP/1.1 200 ")
