"""The checks of `serve`: its address, its reported state, its threads."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from moonmind_appliance.api_address import AddressUnavailable
from moonmind_appliance.checks import ServeState, serve_state
from moonmind_appliance.checks.finding import wrong
from moonmind_appliance.checks.service import api_address, workers
from moonmind_appliance.checks.service import serve as serve_finding
from moonmind_appliance.settings import Settings
from tests.api.served import serve

NOTHING = ServeState(answers=False)


def test_a_free_address() -> None:
    """That `serve` is not running is a note."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        settings = Settings(moonmind_port=probe.getsockname()[1])
    state = serve_state(settings)
    assert state == NOTHING
    assert api_address(settings, state).level == "ok"
    assert serve_finding(state).level == "note"


def test_an_address_in_use_by_another_process() -> None:
    """That process need not respond."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(moonmind_port=taken.getsockname()[1])
        state = serve_state(settings, seconds=0.2)
        assert state == NOTHING
        with pytest.raises(AddressUnavailable, match="in use by another process"):
            api_address(settings, state)


def test_an_address_of_another_machine() -> None:
    """`serve` cannot listen on it; the finding says what to set."""
    settings = Settings(moonmind_host="192.0.2.1", moonmind_port=1)
    with pytest.raises(AddressUnavailable) as refused:
        api_address(settings, NOTHING)
    assert refused.value.hint == "Set MOONMIND_HOST to a local address."


def test_a_running_serve(tmp_path: Path) -> None:
    """Its version, whether it is ready, and the problems that it reports."""
    with serve(tmp_path) as served:
        settings = Settings(moonmind_port=int(served.address.rpartition(":")[2]))
        state = serve_state(settings)
        assert state == ServeState(answers=True, version="9.9.9", ready=True)
        assert (api_address(settings, state).level, serve_finding(state).level) == ("ok", "ok")
        served.checks["engine"] = wrong("Docker engine", "No engine answers.", "Start it.")
        state = serve_state(settings)
    assert state == ServeState(answers=True, version="9.9.9", problems=["engine: No engine answers. Start it."])
    assert serve_finding(state).level == "wrong"
    assert "engine: No engine answers." in serve_finding(state).observed


@contextmanager
def answering(body: bytes, *, status: int = 200) -> Iterator[Settings]:
    """Another server at the address, which responds to everything with this body."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Settings(moonmind_port=server.server_address[1])
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("body", [b"hello", b"{}", b'{"status": "ok", "version": 1}', b"[" * 100_000, b"\xff"])
def test_another_server_is_not_an_appliance(body: bytes) -> None:
    """For any response."""
    with answering(body) as settings:
        assert serve_state(settings) == NOTHING


def test_dead_threads() -> None:
    """By name, with what to do."""
    assert workers({"codex-0": True}).level == "ok"
    finding = workers({"codex-0": True, "codex-1": False})
    assert (finding.level, finding.to_do) == ("wrong", "Restart the appliance.")
    assert "codex-1" in finding.observed
