"""The API under uvicorn, until a signal."""

import logging
import signal
import socket
import threading

import pytest

from moonmind_appliance.serving.server import _Server
from moonmind_appliance.serving.supervision import Supervision
from tests.api.served import Served


class Appliance:
    """Only what a stop needs."""

    def __init__(self, api: object, runs: list[str]) -> None:
        self.api, self.runs, self.stops = api, runs, 0
        self.stopped = threading.Event()

    def begin_stopping(self) -> list[str]:
        self.stops += 1
        self.stopped.set()
        return self.runs


@pytest.mark.parametrize(
    ("runs", "line"),
    [
        ([], "SIGTERM: stopping. No runs are running."),
        (["r1", "r2"], "SIGTERM: stopping. 2 running run(s) stop now and resume after the restart: r1, r2"),
    ],
)
def test_the_first_signal_stops_runs_and_says_so(
    shared: Served, caplog: pytest.LogCaptureFixture, runs: list[str], line: str
) -> None:
    """The second one only ends the wait for connections."""
    caplog.set_level(logging.INFO)
    appliance = Appliance(shared.server.config.app, runs)
    server = _Server(appliance, Supervision({}))  # type: ignore[arg-type]
    server.handle_exit(signal.SIGTERM, None)
    assert appliance.stopped.wait(10)
    for thread in threading.enumerate():
        if thread.name == "stopping":
            thread.join(10)
    server.handle_exit(signal.SIGTERM, None)
    assert (appliance.stops, server.should_exit, server.force_exit) == (1, True, False)
    server.handle_exit(signal.SIGINT, None)
    assert server.force_exit is True
    assert [record.getMessage() for record in caplog.records if "stopping" in record.getMessage()] == [line]


def test_the_kernels_queue_is_longer_than_what_is_accepted_at_once(shared: Served) -> None:
    """A burst of clients waits in the queue; asyncio alone would shorten it."""
    port = int(shared.address.rpartition(":")[2])
    clients = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(100)]
    try:
        assert shared.client(None).get("/health").status_code == 200
    finally:
        for client in clients:
            client.close()
