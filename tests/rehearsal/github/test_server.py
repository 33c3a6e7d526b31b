"""The stand-in as one object: hosting, start and stop, request log, faults."""

import socket
import threading
from pathlib import Path

import httpx
import pytest

from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from tests.github.stand_in import SLUG, TOKEN
from tests.rehearsal.github.hosted import AUTH


def test_it_stops_and_starts_again(tmp_path: Path) -> None:
    """Both are safe twice; hosted repositories remain; no thread is left."""
    threads = set(threading.enumerate())
    stand_in = StandInGitHub(("127.0.0.1", 0), tmp_path / "state")
    stand_in.stop()
    stand_in.add_repository(SLUG)
    stand_in.add_token(TOKEN)
    for _ in range(2):
        stand_in.start()
        stand_in.start()
        assert httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH).status_code == 200
        stand_in.stop()
        stand_in.stop()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{stand_in.api_url}/repos/{SLUG}")
    assert set(threading.enumerate()) == threads


def test_it_stops_with_a_caller_waiting(stand_in: StandInGitHub) -> None:
    """Open connections and slow responses do not delay the stop."""
    stand_in.inject(Fault.SLOW)
    host, port = stand_in.server_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as caller:
        caller.sendall(b"GET /api/v3/repos/acme/none HTTP/1.1\r\nHost: x\r\n\r\n")
        stand_in.stop()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)))


def test_an_address_in_use_is_an_error_at_start(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The error is the operating system's own."""
    port = int(stand_in.server_url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        StandInGitHub(("127.0.0.1", port), tmp_path / "second").start()
