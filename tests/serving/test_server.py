"""The API under uvicorn, until a signal."""

import logging
import signal
import socket
import threading
from pathlib import Path

import pytest
from uvicorn.middleware.proxy_headers import _TrustedHosts

import moonmind_appliance.appliance
from moonmind_appliance.api_address import open_socket
from moonmind_appliance.appliance import Appliance as RealAppliance
from moonmind_appliance.errors import DatabaseUnusable
from moonmind_appliance.execution.recover import Recovered
from moonmind_appliance.resources import Resources
from moonmind_appliance.serving.server import _Server, as_peers, serve
from moonmind_appliance.serving.supervision import Supervision
from moonmind_appliance.settings import Settings
from tests.api.served import Served


class Appliance:
    """Only what a stop needs. Its phases run until the test ends them."""

    def __init__(self, api: object, runs: list[str]) -> None:
        self.api, self.runs = api, runs
        self.settings = Settings(stop_grace=30)
        self.calls: list[str] = []
        self.ended = threading.Event()

    def begin_stopping(self) -> list[str]:
        self.calls.append("begin")
        return self.runs

    def wait_for_phases(self) -> None:
        self.calls.append("wait")
        assert self.ended.wait(20)

    def interrupt(self) -> list[str]:
        self.calls.append("interrupt")
        self.ended.set()
        return self.runs


def join_stopping() -> None:
    """Wait for what the signals started."""
    for thread in threading.enumerate():
        if thread.name == "stopping":
            thread.join(20)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "stopping" in record.getMessage()]


def test_a_stop_without_runs(shared: Served, caplog: pytest.LogCaptureFixture) -> None:
    """It waits for nothing."""
    caplog.set_level(logging.INFO)
    appliance = Appliance(shared.server.config.app, [])
    server = _Server(appliance, Supervision({}))  # type: ignore[arg-type]
    server.handle_exit(signal.SIGTERM, None)
    join_stopping()
    assert (appliance.calls, server.should_exit) == (["begin"], True)
    assert lines(caplog) == ["SIGTERM: stopping. No runs are running."]


@pytest.mark.parametrize(
    ("sig", "again"),
    [(signal.SIGTERM, "Send SIGTERM again to stop at once."), (signal.SIGINT, "Press Ctrl-C again to stop at once.")],
)
def test_the_first_signal_lets_phases_end(
    shared: Served, caplog: pytest.LogCaptureFixture, sig: signal.Signals, again: str
) -> None:
    """The server goes on meanwhile, and the log says for what it waits, how long, and how to stop at once."""
    appliance = Appliance(shared.server.config.app, ["r1 (speckit_plan)", "r2"])
    server = _Server(appliance, Supervision({}))  # type: ignore[arg-type]
    server.handle_exit(sig, None)
    while "wait" not in appliance.calls:
        threading.Event().wait(0.01)
    assert server.should_exit is False
    appliance.ended.set()
    join_stopping()
    assert (appliance.calls, server.should_exit) == (["begin", "wait"], True)
    (line,) = lines(caplog)
    assert line == (
        f"{sig.name}: stopping. No run starts. The running phases may end within STOP_GRACE (30 s); their runs resume "
        f"after the restart: r1 (speckit_plan), r2. {again}"
    )


def test_the_second_signal_stops_at_once(shared: Served, caplog: pytest.LogCaptureFixture) -> None:
    """It interrupts the runs, and does not wait for connections; the lifespan still ends. A third changes nothing."""
    appliance = Appliance(shared.server.config.app, ["r1"])
    server = _Server(appliance, Supervision({}))  # type: ignore[arg-type]
    for _ in range(3):
        server.handle_exit(signal.SIGTERM, None)
    join_stopping()
    assert sorted(appliance.calls) == ["begin", "interrupt", "wait"]
    assert (server.should_exit, server.force_exit, server.config.timeout_graceful_shutdown) == (True, False, 1)
    assert "SIGTERM again: stopping at once. Interrupted, to resume after the restart: r1." in lines(caplog)


def test_a_start_that_fails_ends_the_process_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as on a damaged file. The data folder can be served again afterwards."""
    settings = Settings(moonmind_data_dir=tmp_path / "data", docker_host=f"unix://{tmp_path}/no-engine.sock")
    appliance = RealAppliance(settings)

    def fails(_: Resources) -> Recovered:
        raise DatabaseUnusable("Database x: the file is damaged.")

    handlers = {sig: signal.getsignal(sig) for sig in (signal.SIGTERM, signal.SIGINT)}
    with monkeypatch.context() as patched:
        patched.setattr(moonmind_appliance.appliance, "recover", fails)
        try:
            assert serve(appliance, open_socket("127.0.0.1", 0), Supervision({})) is False
        finally:
            for sig, handler in handlers.items():
                signal.signal(sig, handler)
    assert appliance.start_failure is not None
    assert "the file is damaged" in appliance.start_failure.message
    assert "Traceback" not in caplog.text
    RealAppliance(settings).stop()


def test_the_kernels_queue_is_longer_than_what_is_accepted_at_once(shared: Served) -> None:
    """A burst of clients waits in the queue; asyncio alone would shorten it."""
    port = int(shared.address.rpartition(":")[2])
    clients = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(100)]
    try:
        assert shared.client(None).get("/health").status_code == 200
    finally:
        for client in clients:
            client.close()


def test_a_trusted_proxy_is_known_by_either_form_of_its_address() -> None:
    """A server that listens on `::` sees an IPv4 proxy as an IPv4-mapped address."""
    assert as_peers(["10.0.0.0/8", "fd00::/8"]) == ["10.0.0.0/8", "fd00::/8", "::ffff:10.0.0.0/104"]
    trusted = _TrustedHosts(as_peers(["10.0.0.0/8"]))
    assert "::ffff:10.1.2.3" in trusted
    assert "::ffff:11.1.2.3" not in trusted
