"""The checks of `serve`: its address, what it says of itself, its threads."""

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


def test_an_address_that_is_free() -> None:
    """That `serve` does not run is worth knowing, and nothing wrong."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        settings = Settings(moonmind_port=probe.getsockname()[1])
    state = serve_state(settings)
    assert state == NOTHING
    assert api_address(settings, state).level == "ok"
    assert serve_finding(state).level == "note"


def test_an_address_that_another_process_has() -> None:
    """It does not have to answer at all."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(moonmind_port=taken.getsockname()[1])
        state = serve_state(settings, seconds=0.2)
        assert state == NOTHING
        with pytest.raises(AddressUnavailable, match="in use by another process"):
            api_address(settings, state)


def test_an_address_of_another_machine() -> None:
    """It cannot be listened at; what to set is said."""
    settings = Settings(moonmind_host="192.0.2.1", moonmind_port=1)
    with pytest.raises(AddressUnavailable) as refused:
        api_address(settings, NOTHING)
    assert refused.value.hint == "Set MOONMIND_HOST to a local address."


def test_a_serve_that_runs(tmp_path: Path) -> None:
    """Its version, whether it is ready, and what it says is missing."""
    with serve(tmp_path) as served:
        settings = Settings(moonmind_port=int(served.address.rpartition(":")[2]))
        state = serve_state(settings)
        assert state == ServeState(answers=True, version="9.9.9", ready=True)
        assert (api_address(settings, state).level, serve_finding(state).level) == ("ok", "ok")
        served.checks["engine"] = wrong("Docker engine", "No engine answers.", "Start it.")
        state = serve_state(settings)
    assert state == ServeState(answers=True, version="9.9.9", problems=["engine: No engine answers. Start it."])
    assert serve_finding(state).level == "wrong"
    assert "engine: No engine answers." in serve_finding(state).seen


@contextmanager
def answering(body: bytes, *, status: int = 200) -> Iterator[Settings]:
    """Something else listens at the address, and answers everything with this."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Settings(moonmind_port=server.server_address[1])
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("body", [b"hello", b"{}", b'{"status": "ok", "version": 1}', b"[" * 100_000, b"\xff"])
def test_something_else_that_answers_is_no_appliance(body: bytes) -> None:
    """Whatever it says."""
    with answering(body) as settings:
        assert serve_state(settings) == NOTHING


def test_threads_that_died() -> None:
    """By name, with what to do."""
    assert workers({"codex-0": True}).level == "ok"
    finding = workers({"codex-0": True, "codex-1": False})
    assert (finding.level, finding.to_do) == ("wrong", "Restart the appliance.")
    assert "codex-1" in finding.observed
