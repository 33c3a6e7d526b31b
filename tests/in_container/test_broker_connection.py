"""The login broker on real TLS sockets: what reaches OpenAI, and what comes back."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.in_container.broker_served import BEARER, GOOD, OK, REFRESH, Served, post, read_answer, refresh, request
from tests.in_container.egress_served import read_all


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as running:
        yield running


def test_a_request_keeps_everything_but_the_login(served: Served) -> None:
    """Order and spelling of the headers, and the bytes of the body. Headers for one connection do not pass."""
    body = bytes(range(256)) * 1000
    with served.connect() as connection:
        connection.sendall(
            served.filled(
                b"POST /backend-api/codex/responses?a=1 HTTP/1.1\r\n"
                b"version: 0.169.0\r\nAUTHORIZATION: Bearer {bearer}\r\n"
                b'x-Codex-Turn: {"a": 1}\r\nChatGPT-Account-ID: mine\r\nconnection: keep-alive\r\nte: trailers\r\n'
                b"proxy-authorization: Basic x\r\ncontent-encoding: zstd\r\ncookie: __cf_bm=1\r\n"
                b"content-length: %d\r\nhost: chatgpt.com\r\n\r\n" % len(body)
            )
            + body
        )
        assert read_answer(connection) == (b"HTTP/1.1 200 OK\r\nContent-Length: 2", b"ok")
    ((head, received),) = served.requests
    assert head.decode().split("\r\n") == [
        "POST /backend-api/codex/responses?a=1 HTTP/1.1",
        "version: 0.169.0",
        f"AUTHORIZATION: Bearer {served.tokens.access_token}",
        'x-Codex-Turn: {"a": 1}',
        f"ChatGPT-Account-ID: {served.accounts[0].account_id}",
        "content-encoding: zstd",
        "cookie: __cf_bm=1",
        f"content-length: {len(body)}",
        "host: chatgpt.com",
        "",
        "",
    ]
    assert received == body


def test_a_websocket_is_refused_so_that_codex_uses_http(served: Served) -> None:
    """426 is the one answer after which Codex does not try again. It is not recorded as refused."""
    more = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n"
    answer = served.ask(request(b"/backend-api/codex/responses", more=more))
    assert answer.startswith(b"HTTP/1.1 426 ")
    assert (served.requests, served.recorded("refused")) == ([], {})


def test_a_refresh_gives_the_same_dummy_and_never_reaches_openai(served: Served) -> None:
    """However often: a refresh of the agent never causes a real one."""
    for _ in range(3):
        answer = served.ask(refresh(REFRESH), "auth.openai.com")
        got = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert got == json.loads(served.dummy.refreshed())
        assert (got["access_token"], got["refresh_token"]) == (served.dummy.access_token, served.dummy.refresh_token)
    assert (served.requests, served.connections, served.checks) == ([], 0, 0)


def test_a_refused_token_is_renewed_before_the_agent_gets_the_refusal(served: Served) -> None:
    """Codex then refreshes its dummy, and its second request has the new token. Another refusal renews nothing."""
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"
    served.answer = lambda _: refusal
    old = served.tokens.access_token
    assert served.ask(GOOD).startswith(b"HTTP/1.1 401 ")
    assert served.checks == 1
    assert served.tokens.access_token != old
    assert served.ask(GOOD).startswith(b"HTTP/1.1 401 ")
    assert served.checks == 1
    bearers = [head.split(b"Bearer ")[1].split(b"\r\n")[0].decode() for head, _ in served.requests]
    assert bearers == [old, served.tokens.access_token]
    (renewed,) = served.printed("renewed")
    assert renewed["report"] == {"refreshed": True}
    assert [line.get("renewed", False) for line in served.printed("answer")] == [True, False]


def test_a_refused_request_without_a_body_is_repeated(served: Served) -> None:
    """The agent does not notice: Codex itself does not refresh after some of them."""
    old = served.tokens.access_token.encode()
    served.answer = lambda head: b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n" if old in head else OK
    assert served.ask(request(b"/backend-api/wham/accounts/check")).startswith(b"HTTP/1.1 200 ")
    assert (served.checks, served.printed("answer")) == (1, [])


def test_a_refresh_is_refused_after_openai_has_ended_the_login(served: Served) -> None:
    """With OpenAI's code, so that Codex ends. It works again as soon as there is another login."""
    served.answer = lambda _: b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    served.report = {"account": {"result": {"account": None}}, "refreshed": False}
    assert served.ask(GOOD).startswith(b"HTTP/1.1 401 ")
    answer = served.ask(refresh(REFRESH), "auth.openai.com")
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b'"refresh_token_invalidated"' in answer
    served.write(served.accounts.sign_in(served.accounts[0]))
    assert served.ask(refresh(REFRESH), "auth.openai.com").startswith(b"HTTP/1.1 200 ")


def test_a_token_near_its_end_is_renewed_once_for_all_requests(tmp_path: Path) -> None:
    """Before they are forwarded."""
    with Served(tmp_path, access_seconds=200.0) as served:
        served.accounts.access_seconds = 86400.0
        asking = [threading.Thread(target=served.ask, args=(GOOD,)) for _ in range(10)]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
        assert served.checks == 1
        assert {served.tokens.access_token.encode() in head for head, _ in served.requests} == {True}
        assert len(served.requests) == 10


def test_a_login_that_changes_is_read_again(served: Served) -> None:
    """A sign-in may replace it."""
    served.write(served.accounts.sign_in(served.accounts[0]))
    served.ask(GOOD)
    assert served.tokens.access_token.encode() in served.requests[0][0]


def test_no_login_is_an_error_of_the_broker(served: Served) -> None:
    """The dummy is never sent to OpenAI."""
    served.file.unlink()
    assert served.ask(GOOD).startswith(b"HTTP/1.1 502 ")
    assert served.recorded("failed") == {"chatgpt.com:443": "The shard has no login."}
    assert served.requests == []


def test_connections_are_used_again_on_both_sides(served: Served) -> None:
    """One connection to OpenAI for each of the agent's, until OpenAI closes it."""
    with served.connect() as connection:
        for _ in range(3):
            connection.sendall(served.filled(GOOD))
            assert read_answer(connection)[1] == b"ok"
        assert served.connections == 1
        served.answer = lambda _: OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        for _ in range(2):
            connection.sendall(served.filled(GOOD))
            head, body = read_answer(connection)
            assert (b"onnection" in head, body) == (False, b"ok")
        assert served.connections == 2


def test_a_stream_passes_as_it_comes(served: Served) -> None:
    """Each event at once, and OpenAI's headers in their spelling."""
    served.answer = lambda _: (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Codex-Plan: plus\r\nset-cookie: __cf_bm=1\r\n"
        b"Keep-Alive: timeout=5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    )
    with served.connect() as connection:
        connection.sendall(served.filled(GOOD))
        found = b""
        while b"first" not in found:
            found += connection.recv(1000)
        head = found.partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert head[1:4] == [b"Content-Type: text/event-stream", b"X-Codex-Plan: plus", b"set-cookie: __cf_bm=1"]
        assert not any(line.lower().startswith(b"keep-alive") for line in head)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no HTTP\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n",
    ],
)
def test_no_usable_answer_is_an_error_of_the_broker(served: Served, answer: bytes) -> None:
    """It is recorded as a failure of the host, not as refused."""
    served.answer = lambda _: answer
    assert served.ask(GOOD).startswith(b"HTTP/1.1 502 ")
    assert (set(served.recorded("failed")), served.recorded("refused")) == ({"chatgpt.com:443"}, {})


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 100\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
)
def test_a_broken_answer_never_looks_complete(served: Served, framing: bytes) -> None:
    """What the agent gets has no end, so that Codex repeats the request."""
    served.answer = lambda _: b"HTTP/1.1 200 OK\r\n" + framing
    with served.connect() as connection:
        connection.sendall(served.filled(GOOD))
        found = b""
        while b"half" not in found:
            found += connection.recv(1000)
        served.end_connections()
        found += read_all(connection)
    assert found.rstrip().endswith(b"half")
    # As in a tunnel: the host was reached.
    assert served.recorded("failed") == {}


def test_an_answer_before_the_end_of_the_body_passes(served: Served) -> None:
    """OpenAI refuses what it does not want to read, and closes the connection."""
    served.reads_bodies = False
    served.answer = lambda _: b"HTTP/1.1 403 Forbidden\r\ncf-mitigated: challenge\r\nContent-Length: 2\r\n\r\nno"
    with served.connect() as connection:
        connection.sendall(served.filled(post(BEARER + b"Host: chatgpt.com\r\nContent-Length: 50000000\r\n")))
        connection.sendall(bytes(1_000_000))
        head, body = read_answer(connection)
    assert (head.split(b" ")[1], body) == (b"403", b"no")
    assert head.endswith(b"\r\nConnection: close")
    assert [line["challenge"] for line in served.printed("answer")] == [True]
    assert served.recorded("failed") == {}


def test_an_agent_that_disconnects_ends_its_request(served: Served) -> None:
    """OpenAI does not go on with an answer that no one reads."""
    served.answer = lambda _: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
    connection = served.connect()
    connection.sendall(served.filled(GOOD))
    assert connection.recv(1000)
    connection.close()
    assert served.ended.wait(5)


def test_the_connection_must_be_tls_for_its_host(served: Served) -> None:
    """Of a version that is not outdated, and HTTP/1.1 even if Codex offers HTTP/2."""
    for name in ("evil.example", "auth.openai.com", None):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            served.connect(name=name)
    with socket.create_connection(("127.0.0.1", served.port), 10) as plain:
        plain.sendall(b"CONNECT chatgpt.com:443 HTTP/1.1\r\n\r\n")
        assert plain.recv(1000).startswith(b"HTTP/1.1 200 ")
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert not plain.recv(1000).startswith(b"HTTP")
    assert served.recorded("refused") == {"chatgpt.com:443": "no TLS for this host"}
    with served.connect(protocols=["h2", "http/1.1"]) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_problems_quota_and_usage_are_printed(served: Served) -> None:
    """The appliance's evidence: the body of each refusal, and the quota when it changes."""
    quota = b"X-Codex-Primary-Used-Percent: 3.5\r\n"
    served.answer = lambda head: {
        b"/backend-api/codex/responses": b"HTTP/1.1 429 Too Many Requests\r\n"
        + quota
        + b"Content-Length: 4\r\n\r\nbusy",
        b"/backend-api/codex/models": b"HTTP/1.1 403 Forbidden\r\ncf-mitigated: challenge\r\nContent-Length: 0\r\n\r\n",
        b"/backend-api/wham/usage": b"HTTP/1.1 200 OK\r\n" + quota + b"Content-Length: 2\r\n\r\n{}",
    }[head.split(b" ")[1]]
    assert served.ask(GOOD).startswith(b"HTTP/1.1 429 ")
    served.ask(request(b"/backend-api/codex/models"))
    served.ask(request(b"/backend-api/wham/usage"))
    values = {"x-codex-primary-used-percent": "3.5"}
    limit, challenge = [{name: v for name, v in line.items() if name != "at"} for line in served.printed("answer")]
    assert limit == {"broker": "answer", "path": "codex/responses", "status": 429, "headers": values, "body": "busy"}
    assert (challenge["status"], challenge["challenge"]) == (403, True)
    assert [line["headers"] for line in served.printed("quota")] == [values]
    assert [line["body"] for line in served.printed("usage")] == ["{}"]


def test_nothing_printed_or_sent_to_the_agent_contains_the_real_login(served: Served) -> None:
    """Not even a part of its tokens."""
    seen = served.ask(GOOD) + served.ask(refresh(REFRESH), "auth.openai.com")
    seen += json.dumps(served.lines).encode() + served.dummy.login_file().encode()
    for token in (served.tokens.access_token, served.tokens.id_token, served.tokens.refresh_token):
        for part in token.split("."):
            assert part.encode() not in seen or part == token.split(".")[0]
    assert served.tokens.refresh_token.encode() not in seen
