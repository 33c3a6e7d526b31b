"""Access over HTTP: what another server may answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import msgspec
import pytest

from moonmind_appliance.cli.exits import CommandFailed
from moonmind_appliance.cli.runs.access import RunEvent
from moonmind_appliance.cli.runs.remote import Remote
from moonmind_appliance.models import Actor, Run
from moonmind_appliance.views.run_summary import run_summary
from tests.cli.terminal import Terminal


def test_no_server_at_the_address(terminal: Terminal) -> None:
    """The error is one line, with what to do."""
    called = terminal.call("runs", "list", "--server", "http://127.0.0.1:9", MOONMIND_API_TOKEN="t")
    assert called.code == 4
    assert called.stderr.startswith("error: No appliance responds at http://127.0.0.1:9 (")


class Quiet(BaseHTTPRequestHandler):
    """Logs nothing."""

    def log_message(self, *_: object) -> None:
        """Do nothing."""


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server with that handler; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def stranger() -> Iterator[str]:
    """Another HTTP server, which redirects all requests."""

    class Elsewhere(Quiet):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/login")
            self.send_header("Content-Length", "0")
            self.end_headers()

    with listening(Elsewhere) as url:
        yield url


def test_a_redirect_gets_no_token(terminal: Terminal, stranger: str) -> None:
    """The error says that the server is not an appliance."""
    called = terminal.call("runs", "list", "--server", stranger, MOONMIND_API_TOKEN="t")
    assert called.code == 4
    assert "is not an appliance (status 302, redirect to http://127.0.0.1:9/login)" in called.stderr


@pytest.fixture
def newer(request: pytest.FixtureRequest) -> Iterator[str]:
    """An appliance of another version, which answers every GET with the test's body."""
    body = msgspec.json.encode(request.param)

    class Newer(Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Newer) as url:
        yield url


def _page(**fields: object) -> dict[str, object]:
    run = run_summary(
        Run(
            run_id="5b0c6a5e-7d5c-4c1e-9a0f-2f6f5d1c7b11",
            repository="acme/shop",
            specify_text="",
            accepted_at=datetime(2026, 3, 1, tzinfo=UTC),
            created_by=Actor("local:ann", "ann"),
        )
    )
    return {"items": [msgspec.to_builtins(run) | fields], "next_cursor": None}


@pytest.mark.parametrize("newer", [_page(colour="red")], indirect=True)
def test_unknown_fields_are_left_out(terminal: Terminal, newer: str) -> None:
    """A newer appliance may send fields that this program does not know."""
    called = terminal.call("runs", "list", "--json", "--server", newer, MOONMIND_API_TOKEN="t")
    assert called.code == 0
    assert called.json == _page()


@pytest.mark.parametrize("newer", [_page(status="paused"), _page(run_id=7), {}, []], indirect=True)
def test_an_answer_that_cannot_be_understood(terminal: Terminal, newer: str) -> None:
    """The error is one line with the problem and the versions to compare."""
    called = terminal.call("runs", "list", "--server", newer, MOONMIND_API_TOKEN="t")
    assert called.code == 1
    assert called.stderr.startswith(f"error: The response of {newer} is not valid: ")
    assert "compare `moonmind-appliance version`" in called.stderr
    assert "Traceback" not in called.stderr


@pytest.fixture
def proxied(request: pytest.FixtureRequest) -> Iterator[str]:
    """A proxy in front of an appliance: its first response is not the appliance's, the second is a stream's end."""

    class Proxied(Quiet):
        answers: ClassVar = [(request.param, b"<h1>nginx</h1>"), (200, b'event: end\ndata: {"status":"failed"}\n\n')]

        def do_GET(self) -> None:
            status, body = self.answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Proxied) as url:
        yield url


@pytest.mark.parametrize("proxied", [502, 503, 504], indirect=True)
def test_a_stream_goes_on_when_the_appliance_behind_a_proxy_is_back(proxied: str) -> None:
    """While the appliance restarts, the proxy in front of it answers with a page of its own."""
    assert list(Remote(proxied, lambda: "t").events("5b0c")) == [RunEvent("end", {"status": "failed"})]


@pytest.mark.parametrize("proxied", [403], indirect=True)
def test_a_refusal_ends_a_stream(proxied: str) -> None:
    """At once: trying again does not help."""
    with pytest.raises(CommandFailed, match=r"is not an appliance \(status 403\)"):
        list(Remote(proxied, lambda: "t").events("5b0c"))
