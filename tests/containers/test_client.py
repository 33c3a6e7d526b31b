"""Calls of an engine: its errors become the appliance's, and a broken connection is replaced."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from moonmind_appliance.containers.client import Conflict, EngineClient, Missing
from moonmind_appliance.errors import ContainerNotFound, DiskFull, EngineError, EngineUnreachable


class StandInEngine(ThreadingHTTPServer):
    """Answers every call with `status` and `message`; `api` is its API version."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.status, self.message, self.api = 200, "", "1.45"

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    server: StandInEngine
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        ping = self.path.endswith("/_ping")
        body = b"OK" if ping else b'{"message": "%s"}' % self.server.message.encode()
        self.send_response(200 if ping else self.server.status)
        self.send_header("Api-Version", self.server.api)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Nothing."""


@pytest.fixture
def engine() -> Iterator[StandInEngine]:
    with StandInEngine() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def client(engine: StandInEngine) -> Iterator[EngineClient]:
    made = EngineClient(engine.address, {})
    yield made
    made.close()
    made.close()


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, "No such container: x", ContainerNotFound),
        (404, "network x not found", Missing),
        (409, "the name is in use", Conflict),
        (500, "write /x: no space left on device", DiskFull),
        (500, "something else", EngineError),
    ],
)
def test_the_engines_errors_have_their_kind(
    engine: StandInEngine, client: EngineClient, status: int, message: str, kind: type[EngineError]
) -> None:
    """With the engine's own message."""
    engine.status, engine.message = status, message
    with pytest.raises(EngineError) as raised:
        client.ask(lambda api: api.inspect_container("x"))
    assert type(raised.value) is kind
    assert message in raised.value.message


def test_a_missing_object_is_none_or_false(engine: StandInEngine, client: EngineClient) -> None:
    """Any other error is raised."""
    engine.status, engine.message = 404, "No such container: x"
    assert client.ask_for(lambda api: api.inspect_container("x")) is None
    assert client.did(lambda api: api.inspect_container("x")) is False
    engine.status = 500
    with pytest.raises(EngineError):
        client.ask_for(lambda api: api.inspect_container("x"))


@pytest.mark.parametrize(("spoken", "used"), [("1.41", "1.41"), ("1.45", "1.45"), ("9.99", "1.51")])
def test_the_newest_tested_api_version_is_used(
    engine: StandInEngine, client: EngineClient, spoken: str, used: str
) -> None:
    """Engines support older versions, too."""
    engine.api = spoken
    assert client.api_version == used


@pytest.mark.parametrize("spoken", ["1.40", "", "none"])
def test_an_older_engine_is_refused(engine: StandInEngine, client: EngineClient, spoken: str) -> None:
    """The message names the oldest version that works."""
    engine.api = spoken
    with pytest.raises(EngineError, match=r"not a Docker engine of version 20\.10 or newer"):
        _ = client.api_version


def test_an_engine_that_comes_back_is_connected_again(engine: StandInEngine, client: EngineClient) -> None:
    """It may have another version then."""
    assert client.api_version == "1.45"
    engine.api = "1.44"
    assert isinstance(client.unreachable(TimeoutError()), EngineUnreachable)
    assert client.api_version == "1.44"


def test_nothing_that_listens_is_unreachable_with_the_reason() -> None:
    """And how to check it."""
    client = EngineClient("tcp://127.0.0.1:1", {})
    with pytest.raises(
        EngineUnreachable, match=r"No Docker engine responds at tcp://127\.0\.0\.1:1: Connection refused"
    ):
        client.ask(lambda api: api.version())


def test_exhausted_address_pools_have_a_next_step(engine: StandInEngine, client: EngineClient) -> None:
    """Engines of 20.10 answer 404, as for a network that does not exist."""
    engine.status = 404
    engine.message = "could not find an available, non-overlapping IPv4 address pool among the defaults"
    with pytest.raises(EngineError) as refused:
        client.ask(lambda docker_client: docker_client.inspect_network("x"))
    assert not isinstance(refused.value, Missing)
    assert "docker network prune" in refused.value.hint
