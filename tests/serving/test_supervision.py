"""What systemd is told: starting, ready, alive as long as a restart would not help, stopping."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.serving.supervision import Liveness, Supervision

LIMIT = 15.0


class Monotonic:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestLiveness:
    @pytest.fixture
    def clock(self) -> Monotonic:
        return Monotonic()

    @pytest.fixture
    def threads(self) -> dict[str, bool]:
        return {"codex-0": True, "clock": True}

    @pytest.fixture
    def liveness(self, clock: Monotonic, threads: dict[str, bool]) -> Liveness:
        return Liveness(lambda: threads, LIMIT, clock)

    def test_a_process_that_works(self, liveness: Liveness, clock: Monotonic) -> None:
        """Is alive for as long as its event loop turns and the database answers."""
        for _ in range(1000):
            clock.now += LIMIT
            liveness.loop_turned()
            liveness.database_answered()
            assert liveness.problem() == ""

    def test_a_blocked_event_loop(self, liveness: Liveness, clock: Monotonic) -> None:
        """Until it turns again."""
        clock.now += LIMIT + 1
        assert liveness.problem() == "The event loop has been blocked for 16 s."
        liveness.loop_turned()
        assert liveness.problem() == ""

    def test_a_thread_that_does_not_run(self, liveness: Liveness, threads: dict[str, bool]) -> None:
        """Until it was restarted."""
        threads["codex-0"] = False
        assert liveness.problem() == "Threads do not run: codex-0."
        threads["codex-0"] = True
        assert liveness.problem() == ""

    def test_a_locked_database_is_no_reason(self, liveness: Liveness, clock: Monotonic) -> None:
        """A read that waits for ten minutes, as a worker does; a read that never returns is one."""
        clock.now += 600
        liveness.loop_turned()
        assert liveness.problem() == ""
        clock.now += 301
        liveness.loop_turned()
        assert liveness.problem() == "A read of the database has not returned for 901 s."


@contextmanager
def turning(supervision: Supervision) -> Iterator[None]:
    """An event loop that turns until the block ends."""
    ended = threading.Event()

    def turn() -> None:
        while not ended.wait(0.01):
            supervision.loop_turned()

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def received_until(systemd: socket.socket, wanted: bytes) -> list[bytes]:
    """The messages up to that one."""
    seen = [systemd.recv(4096)]
    while seen[-1] != wanted:
        seen.append(systemd.recv(4096))
    return seen


class TestSupervision:
    @pytest.fixture
    def systemd(self, tmp_path: Path) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
            bound.bind(str(tmp_path / "notify"))
            bound.settimeout(60)
            yield bound

    @pytest.fixture
    def environment(self, tmp_path: Path, systemd: socket.socket) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}

    def test_from_the_start_to_the_stop(self, systemd: socket.socket, environment: dict[str, str]) -> None:
        """The start is extended until it is ready; then it is alive until it stops."""
        supervision = Supervision(environment)
        supervision.starting()
        assert systemd.recv(4096).startswith(b"STATUS=Starting")
        assert systemd.recv(4096) == b"EXTEND_TIMEOUT_USEC=60000000"
        supervision.ready(dict, lambda: "1 in progress.")
        assert systemd.recv(4096) == b"READY=1\nSTATUS=Accepts requests."
        assert systemd.recv(4096) == b"STATUS=1 in progress."
        with turning(supervision):
            received_until(systemd, b"WATCHDOG=1")
            supervision.stopping()
            supervision.stopping()
            received_until(systemd, b"STOPPING=1\nSTATUS=Stopping.")
        for thread in threading.enumerate():
            if thread.name.startswith("systemd-"):
                thread.join(60)
        systemd.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                assert systemd.recv(4096) == b"WATCHDOG=1"

    def test_a_blocked_loop_gives_no_sign_of_life(
        self, systemd: socket.socket, environment: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log says so, as systemd says only that the watchdog expired."""
        supervision = Supervision(environment)
        supervision.ready(dict, lambda: "")
        until = time.monotonic() + 60
        while "The event loop has been blocked" not in caplog.text:
            assert time.monotonic() < until
            time.sleep(0.01)
        with turning(supervision):
            seen = received_until(systemd, b"WATCHDOG=1")
        assert seen == [b"READY=1\nSTATUS=Accepts requests.", b"STATUS=", b"WATCHDOG=1"]
        supervision.stopping()

    def test_a_database_that_cannot_be_read_is_the_status(
        self, systemd: socket.socket, environment: dict[str, str]
    ) -> None:
        """An answer that is an error is an answer."""

        def status() -> str:
            raise StoreError("The file is damaged.")

        del environment["WATCHDOG_USEC"]
        supervision = Supervision(environment)
        supervision.ready(dict, status)
        assert systemd.recv(4096).startswith(b"READY=1")
        assert systemd.recv(4096) == b"STATUS=The file is damaged."
        supervision.stopping()

    def test_without_systemd_nothing_runs(self) -> None:
        """No status is read, and no thread is started."""
        supervision = Supervision({})
        supervision.starting()
        supervision.ready(dict, lambda: pytest.fail("The status was read."))
        supervision.loop_turned()
        supervision.stopping()
