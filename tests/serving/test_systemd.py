"""The messages to systemd are datagrams to the socket that it names; without one, nothing is sent."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.serving.systemd import is_supervised, notify, watchdog_seconds


@pytest.fixture(params=["path", "abstract"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as systemd has it, and the value of NOTIFY_SOCKET for it."""
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(name if request.param == "path" else f"\0{name}")
        bound.settimeout(10)
        yield bound, name if request.param == "path" else f"@{name}"


def test_one_message_is_one_datagram(receiver: tuple[socket.socket, str]) -> None:
    """Its lines are separated by line breaks; a text cannot add a line."""
    bound, address = receiver
    assert notify("READY=1", "STATUS=Serves\nMAINPID=1", environment={"NOTIFY_SOCKET": address})
    assert bound.recv(4096) == b"READY=1\nSTATUS=Serves MAINPID=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_a_usable_socket_nothing_is_sent(environment: dict[str, str]) -> None:
    """As under Compose, in a terminal, or with an address family that is not for services."""
    assert not is_supervised(environment)
    assert not notify("READY=1", environment=environment)
    assert watchdog_seconds(environment | {"WATCHDOG_USEC": "1"}) is None


def test_a_socket_without_a_reader_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And does not stop the appliance."""
    assert not notify("READY=1", environment={"NOTIFY_SOCKET": str(tmp_path / "none")})
    assert "could not be reported to systemd" in caplog.text


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_interval(variables: dict[str, str], expected: float | None) -> None:
    """It may be meant for another process, such as the parent."""
    assert watchdog_seconds({"NOTIFY_SOCKET": "/run/systemd/notify", **variables}) == expected
