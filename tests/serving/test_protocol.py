"""Attacks by clients that do not send their request, or do not read its answer, on the port of a served API."""

import http.client
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from moonmind_appliance.api.parts import Pace
from moonmind_appliance.serving.limits import Limits, raise_file_limit
from tests.api.served import BASE, Served, serve

MANY = 1000
HEAD = f"POST {BASE}/runs HTTP/1.1\r\nHost: x\r\n"
UNFINISHED = {
    "nothing": b"",
    "half a line": b"POST /api/spec",
    "half the headers": f"{HEAD}Content-Type: appl".encode(),
    "half a body": f"{HEAD}Content-Length: 100\r\n\r\n{{".encode(),
    "half a chunk": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n64\r\n{{".encode(),
    "half a second request": f"GET {BASE}/health HTTP/1.1\r\nHost: x\r\n\r\nGET /api".encode(),
}
SHORT = Limits(head=0.3, unread_body=0.3, answer=0.3, close=0.3)
PATIENT = Limits(head=30, unread_body=30, answer=30, close=30)


def port_of(served: Served) -> int:
    return int(served.address.rpartition(":")[2])


def connect(served: Served, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(served)), timeout=20, source_address=(source, 0))


@contextmanager
def attack(served: Served, sent: bytes, count: int = MANY) -> Iterator[list[socket.socket]]:
    """Connections from 127.0.0.1 that have sent so much and send no more."""
    with ExitStack() as opened:
        clients = [opened.enter_context(connect(served)) for _ in range(count)]
        for client in clients:
            try:
                client.sendall(sent)
            except ConnectionError:
                # Closed already: it made room for another.
                continue
        yield clients


def answer_of(client: socket.socket) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(client)
    answer.begin()
    return answer


def health(served: Served, source: str) -> int:
    """The status that a client of that address gets."""
    with connect(served, source) as client:
        client.sendall(f"GET {BASE}/health HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return answer_of(client).status


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("kind", UNFINISHED)
def test_a_thousand_half_sent_requests_do_not_keep_others_from_their_answers(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Both another address and the attacker's own are answered, the log has few lines, and no file stays open."""
    raise_file_limit()
    caplog.set_level(logging.INFO)
    with serve(tmp_path, limits=PATIENT) as served:
        health(served, "127.0.0.1")
        before = open_files()
        with attack(served, UNFINISHED[kind]):
            assert [health(served, source) for source in ("127.0.0.2", "127.0.0.1") * 3] == [200] * 6
            assert len(served.server.connections) <= PATIENT.connections_of_one_address
        wait_until(lambda: open_files() <= before)
        assert len(served.server.connections) == 0
    lines = [
        record
        for record in caplog.records
        if not record.getMessage().startswith(("GET ", "POST ")) and "migrations" not in record.name
    ]
    assert len(lines) < 20
    assert not [record for record in lines if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("kind", UNFINISHED)
def test_a_half_sent_request_is_given_up(tmp_path: Path, kind: str) -> None:
    """The server closes the connection without anything from the client, also if bytes arrive one by one."""
    with serve(tmp_path, limits=SHORT) as served, connect(served) as client:
        client.sendall(UNFINISHED[kind])
        while client.recv(65536):
            pass
        wait_until(lambda: len(served.server.connections) == 0)


@pytest.mark.parametrize("kind", ["half a line", "half the headers"])
def test_the_time_for_the_headers_does_not_start_again_with_each_byte(tmp_path: Path, kind: str) -> None:
    """A client that sends a byte now and then gets 408."""
    with serve(tmp_path, limits=SHORT) as served, connect(served) as client:
        client.sendall(UNFINISHED[kind])
        client.settimeout(0.05)
        received = b""
        while not received:
            client.sendall(b"x")
            try:
                received = client.recv(65536)
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b'"code":"request_timeout"' in received


def test_a_half_sent_body_with_a_token_gets_408(tmp_path: Path) -> None:
    """The caller learns the reason; the connection closes."""
    with serve(tmp_path, limits=PATIENT, pace=Pace(body_within=0.2)) as served, connect(served) as client:
        token = f"Authorization: Bearer {served.tokens['ann']}\r\nContent-Type: application/json\r\n"
        client.sendall(f"{HEAD}{token}Content-Length: 100\r\n\r\n{{".encode())
        answer = answer_of(client)
        assert answer.status == 408
        assert answer.getheader("connection") == "close"
        assert b'"code":"request_timeout"' in answer.read()
        assert served.store.run_lists.queued() == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Content-Length: 100\r\n", 401),
        ("Transfer-Encoding: chunked\r\n", 401),
        ("Content-Length: 3000000\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n", 413),
        ("Content-Length: 100\r\nContent-Type: text/plain\r\nAuthorization: Bearer {token}\r\n", 415),
        ("Content-Length: 100\r\nExpect: 100-continue\r\n", 401),
    ],
)
def test_a_refusal_does_not_wait_for_the_body(tmp_path: Path, headers: str, status: int) -> None:
    """It comes while the body is incomplete, and the connection closes afterwards."""
    with serve(tmp_path, limits=PATIENT) as served, connect(served) as client:
        client.sendall(f"{HEAD}{headers.format(token=served.tokens['ann'])}\r\n".encode())
        answer = answer_of(client)
        assert answer.status == status
        assert answer.getheader("connection") == "close"
        answer.read()
        # The rest may still be sent: without that, the answer could be lost on its way.
        client.sendall(b"x" * 50)
        assert client.recv(1) == b""


def test_a_refused_body_that_has_arrived_keeps_the_connection(tmp_path: Path) -> None:
    """Only an incomplete body costs the connection."""
    with serve(tmp_path, limits=PATIENT) as served, connect(served) as client:
        for _ in range(2):
            client.sendall(f"{HEAD}Content-Length: 2\r\n\r\n{{}}".encode())
            answer = answer_of(client)
            assert answer.status == 401
            assert answer.getheader("connection") is None
            answer.read()


def test_a_client_that_does_not_read_its_answer_is_given_up(tmp_path: Path) -> None:
    """The largest answer without a token is a script of 1.4 MB; the client's window is small."""
    with serve(tmp_path, limits=SHORT) as served, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port_of(served)))
        script = f"GET {BASE}/schema/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        client.sendall(script * 10)
        wait_until(lambda: len(served.server.connections) == 1)
        wait_until(lambda: len(served.server.connections) == 0)


def test_small_answers_are_sent_at_once(shared: Served) -> None:
    """Without TCP_NODELAY an answer on a kept connection waits for the client's delayed acknowledgement."""
    with connect(shared) as client:
        client.sendall(f"GET {BASE}/health HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer_of(client).read()
        address = client.getsockname()
        (mine,) = [one for one in shared.server.server_state.connections if one.client == address]
        assert mine.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_event_stream_outlives_every_limit(tmp_path: Path) -> None:
    """Streams are long by design: neither the limits nor a flood of half-sent requests close them."""
    limits = Limits(connections_of_one_address=20, head=0.3, unread_body=0.3, answer=0.3, close=0.3)
    with serve(tmp_path, limits=limits, pace=Pace(heartbeat_every=0.1)) as served:
        run_id = served.submit()
        with served.client().stream("GET", f"/runs/{run_id}/events") as stream:
            lines = stream.iter_lines()
            with attack(served, b"GET", 100):
                wait_until(lambda: len(served.server.connections) <= 2)
                assert sum(next(lines).startswith(": still here") for _ in range(60)) > 5


def test_the_connection_that_is_one_too_many_gets_503(tmp_path: Path) -> None:
    """If all connections of an address are in use, the next one gets 503; other addresses are served."""
    limits = Limits(connections_of_one_address=4)
    with serve(tmp_path, limits=limits, pace=Pace(heartbeat_every=0.1)) as served, ExitStack() as opened:
        run_id = served.submit()
        served.clients.pop().close()
        for _ in range(4):
            stream = opened.enter_context(served.client().stream("GET", f"/runs/{run_id}/events"))
            assert stream.status_code == 200
        for _ in range(3):
            client = opened.enter_context(connect(served))
            client.sendall(f"GET {BASE}/health HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = answer_of(client)
            assert answer.status == 503
            assert answer.getheader("retry-after") == "10"
            assert b'"code":"too_many_connections"' in answer.read()
        assert len(served.server.connections) <= 5
        assert health(served, "127.0.0.2") == 200


@pytest.mark.parametrize("path", ["/runs", "/schema/assets/swagger-ui-bundle.js"])
@pytest.mark.parametrize(
    "sent",
    [b"zz\r\n", b"5\r\nhellohello\r\n", b"-1\r\n\r\n"],
)
def test_a_malformed_chunk_ends_the_connection_without_a_trace(
    tmp_path: Path, path: str, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Before, during and after the answer: it is the client's error, so the log has no exception."""
    with serve(tmp_path, limits=SHORT) as served:
        for head in (
            HEAD,
            HEAD + f"Authorization: Bearer {served.tokens['ann']}\r\nContent-Type: application/json\r\n",
        ):
            for pause in (0, 0.05):
                with connect(served) as client:
                    client.sendall(f"{head.replace('/runs', path)}Transfer-Encoding: chunked\r\n\r\n".encode())
                    time.sleep(pause)
                    client.sendall(sent)
                    while client.recv(65536):
                        pass
        wait_until(lambda: len(served.server.connections) == 0)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "sent",
    [b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"X" * 100_000,
     b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000],
    ids=["blank lines", "no address", "TLS", "a long line", "no host", "long headers"],
)  # fmt: skip
def test_what_is_not_http_gets_400_in_the_shape_of_every_error(shared: Served, sent: bytes) -> None:
    """Also before there is a request."""
    with connect(shared) as client:
        client.sendall(sent)
        answer = answer_of(client)
        assert answer.status == 400
        assert answer.getheader("content-type") == "application/problem+json"
        assert answer.getheader("x-request-id")
        assert b'"code":"invalid_request"' in answer.read()
