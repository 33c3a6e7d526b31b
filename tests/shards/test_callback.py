"""The browser's callback is repeated inside the container of the sign-in."""

import http.client
import socket
from collections.abc import Iterator

import pytest

from moonmind_appliance.agents.adapter import BrowserCallback
from moonmind_appliance.models import ContainerSpec, Limits, Mount
from moonmind_appliance.models.container_paths import LOGIN_FOLDER
from moonmind_appliance.shards.callback import CallbackPortTaken, CallbackRelay
from tests.containers.fake import JOB_IMAGE, FakeEngine
from tests.containers.fake_exec import FakeExec

ANSWER = b"HTTP/1.0 302 Found\r\nLocation: /success\r\n\r\n"


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    mounts = [Mount("staging", LOGIN_FOLDER)]
    engine.start(
        ContainerSpec(name="box", image=JOB_IMAGE, command=["x"], labels={}, limits=Limits(1, 1, 1), mounts=mounts)
    )
    return engine


@pytest.fixture
def relay(engine: FakeEngine) -> Iterator[CallbackRelay]:
    with CallbackRelay(engine, "box", BrowserCallback(0, ("/auth/callback",))) as relay:
        yield relay


def get(relay: CallbackRelay, path: str) -> tuple[int, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=20)
    try:
        connection.putrequest("GET", path, skip_host=True)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location")
    finally:
        connection.close()


def test_the_answer_is_passed_on_unchanged(engine: FakeEngine, relay: CallbackRelay) -> None:
    """The secret code goes through a file, and is in no argument."""
    written: list[bytes] = []

    def curl(process: FakeExec) -> int:
        config = process.spec.command[-1].partition("--config ")[2].partition(";")[0]
        written.append(process.read_file(config) or b"")
        process.stdout.write(ANSWER)
        return 0

    engine.on_exec("curl", curl)
    assert get(relay, "/auth/callback?code=secret-code") == (302, "/success")
    assert b"/auth/callback?code=secret-code" in written[0]
    assert "secret-code" not in str(engine.execs)


@pytest.mark.parametrize("path", ["/", "/auth/callbacks", '/auth/callback?"x', "/auth/callback?" + "x" * 17_000])
def test_other_addresses_reach_nothing(engine: FakeEngine, relay: CallbackRelay, path: str) -> None:
    """A quote could add an option of curl."""
    assert get(relay, path)[0] == 404
    assert engine.execs == []


def test_a_container_that_has_ended_is_502(engine: FakeEngine, relay: CallbackRelay) -> None:
    """The browser shows that the sign-in is over."""
    engine.remove("box")
    assert get(relay, "/auth/callback?code=x")[0] == 502


def test_a_port_in_use_is_an_error_before_anything_listens(engine: FakeEngine) -> None:
    """It names the port and another way to sign in."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CallbackPortTaken, match=f"Port {port} .* in use") as taken:
            CallbackRelay(engine, "box", BrowserCallback(port, ()))
    assert "device code" in (taken.value.hint or "")
