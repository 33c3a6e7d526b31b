"""A caller without a token cannot fill the process's memory, its metrics or its log."""

import http.client
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.api.served import BASE, Served, serve

REQUESTS = 10_000
# More than any of Litestar's caches has entries.
FULL_CACHE = 1_100
PAGE = os.sysconf("SC_PAGESIZE")
# Python's own caches and allocator take some; a cache of whole odd requests would take 80 MiB and more.
MOST_GROWTH = 40 * 1024**2


def memory() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def metrics(served: Served) -> str:
    """The second answer: it counts the first one, as each later one does."""
    client = served.client("olga")
    client.get("/metrics")
    return client.get("/metrics").text


def connection(served: Served) -> http.client.HTTPConnection:
    address = urlsplit(served.address)
    return http.client.HTTPConnection(str(address.hostname), address.port, timeout=20)


def send_raw(served: Served, requests: Iterator[bytes]) -> list[int]:
    """Send requests as bytes, on connections that stay open as long as the server allows; returns the statuses."""
    address = urlsplit(served.address)
    statuses: list[int] = []
    client: socket.socket | None = None
    for request in requests:
        client = client or socket.create_connection((str(address.hostname), address.port or 0), timeout=20)
        client.sendall(request)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        answer.read()
        statuses.append(answer.status)
        if answer.will_close:
            client.close()
            client = None
    if client is not None:
        client.close()
    return statuses


def odd_requests(kind: str, count: int) -> Iterator[bytes]:
    """Requests that differ from each other in one place of 8 KB."""
    for number in range(count):
        odd = f"{number:06}" + "X" * 8000
        method, path, header = "GET", f"{BASE}/health", "X-Odd: 1"
        if kind == "method":
            method = odd
        elif kind == "path":
            path = f"{BASE}/runs/{odd}"
        elif kind == "query":
            path = f"{BASE}/health?{odd}={odd[:100]}"
        elif kind == "unknown path":
            path = f"/{odd}"
        else:
            header = f"{kind}: {odd}"
        yield f"{method} {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode()


KINDS = {
    "method": 405,
    "path": 414,
    "unknown path": 414,
    "query": 414,
    "Cookie": 200,
    "User-Agent": 200,
    "X-Request-ID": 200,
    "Last-Event-ID": 200,
    "Idempotency-Key": 200,
    "Authorization": 200,
    "Accept": 200,
}


@pytest.mark.timeout(600)
def test_ten_thousand_invented_methods_leave_nothing(served: Served) -> None:
    """They are one series of the metrics, and their bytes are freed after the answers."""
    send_raw(served, odd_requests("method", 100))
    before, size = memory(), len(metrics(served))
    statuses = send_raw(served, odd_requests("method", REQUESTS))
    assert set(statuses) == {405}
    assert memory() - before < MOST_GROWTH
    assert len(metrics(served)) < size + 1000
    assert f'method="other",route="none",status="405"}} {REQUESTS + 100}' in metrics(served)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "method"])
def test_unusual_addresses_and_headers_leave_nothing(served: Served, kind: str) -> None:
    """Paths, queries and headers of any length and number do not reach Litestar's caches."""
    send_raw(served, odd_requests(kind, 100))
    before, size = memory(), len(metrics(served))
    assert set(send_raw(served, odd_requests(kind, FULL_CACHE))) == {KINDS[kind]}
    assert memory() - before < MOST_GROWTH / 4
    assert len(metrics(served)) < size + 1000


@pytest.mark.parametrize("kind", ["method", "path"])
def test_a_line_of_the_log_is_short_for_any_request(
    served: Served, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log contains only the beginning of an unknown method and of a long path."""
    caplog.set_level(logging.INFO, "moonmind_appliance.api.app")
    send_raw(served, odd_requests(kind, 3))
    lines = [record.getMessage() for record in caplog.records if record.name == "moonmind_appliance.api.app"]
    assert len(lines) >= 2
    assert max(map(len, lines)) < 700


def test_a_refusal_repeats_little_of_what_was_sent(served: Served) -> None:
    """The answer cuts an unknown method, and does not repeat a long URL."""
    for kind in ("method", "path", "query"):
        (request,) = odd_requests(kind, 1)
        method, path, _ = request.decode().split("\r\n")[0].split(" ")
        client = connection(served)
        client.putrequest(method, path)
        client.endheaders()
        answer = client.getresponse()
        assert answer.status == KINDS[kind]
        assert answer.getheader("content-type") == "application/problem+json"
        assert len(answer.read()) < 1000
        client.close()


def test_the_longest_valid_address_is_accepted(tmp_path: Path) -> None:
    """A query with 255 characters of four bytes each is answered."""
    with serve(tmp_path) as served:
        assert served.client().get("/runs", params={"external_ref": "🚀" * 255}).status_code == 200
