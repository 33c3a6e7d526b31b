"""Reports to systemd from the start of the process to its stop: starting, ready, alive, stopping.

Alive means that a restart would not help: the event loop runs, the threads run, and the database answers, even if with
an error. Long runs, a Docker engine that does not respond, and a database that another process locks are no reason for
a restart.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping

from moonmind_appliance.serving import systemd

# Longer than any wait for a lock on the database: after it, only a restart of the process can help.
_LONGEST_READ = 900.0
_STATUS_EVERY = 15.0
_EXTEND_EVERY, _EXTEND_BY = 20.0, 60.0
_LONGEST_START = 3600.0

_log = logging.getLogger(__name__)


class Liveness:
    """Whether the process still works. Thread-safe.

    Args:
        threads: each thread's name and whether it runs. One that died is restarted within about a second.
        limit: seconds after which an event loop that did not run counts as blocked.
        clock: monotonic seconds.
    """

    def __init__(
        self, threads: Callable[[], Mapping[str, bool]], limit: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._threads = threads
        self._limit = limit
        self._clock = clock
        self._turned = self._answered = clock()

    def loop_turned(self) -> None:
        """Note that the event loop runs."""
        self._turned = self._clock()

    def database_answered(self) -> None:
        """Note that a read of the database returned or raised."""
        self._answered = self._clock()

    def problem(self) -> str:
        """Why the process must be restarted; empty if it is alive."""
        now = self._clock()
        if now - self._turned > self._limit:
            return f"The event loop has been blocked for {now - self._turned:.0f} s."
        if dead := [name for name, alive in self._threads().items() if not alive]:
            return f"Threads do not run: {', '.join(dead)}."
        if now - self._answered > _LONGEST_READ:
            return f"A read of the database has not returned for {now - self._answered:.0f} s."
        return ""


class Supervision:
    """What this process reports to systemd. Does nothing if systemd does not supervise it.

    Order of calls: `starting`, `ready`, `stopping`; each once. `loop_turned` at any time.

    Args:
        environment: the variables of the process, in which systemd names its socket.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._watchdog = systemd.watchdog_seconds(environment)
        self._liveness: Liveness | None = None
        self._started = threading.Event()
        self._stopped = threading.Event()

    def starting(self) -> None:
        """Ask systemd to wait: a migration of the database or a recovery may take longer than its time limit."""
        if self._notify("STATUS=Starting: opens the database and recovers interrupted runs."):
            self._run("start", self._extend_start)

    def ready(self, threads: Callable[[], Mapping[str, bool]], status: Callable[[], str]) -> None:
        """Requests are accepted from now on.

        Args:
            threads: see `Liveness`.
            status: one line about the state of the appliance, for `systemctl status`; it reads the database.
        """
        self._started.set()
        if not self._notify("READY=1", "STATUS=Accepts requests."):
            return
        limit = (self._watchdog or _STATUS_EVERY) / 4
        self._liveness = Liveness(threads, limit)
        self._run("status", lambda: self._report_status(status))
        if self._watchdog is not None:
            self._run("watchdog", lambda: self._send_alive(limit))

    def loop_turned(self) -> None:
        """Note that the event loop runs; cheap, to be called several times a second."""
        if self._liveness is not None:
            self._liveness.loop_turned()

    def stopping(self) -> None:
        """The process has begun to stop; systemd expects no more WATCHDOG messages. Idempotent."""
        if not self._stopped.is_set():
            self._started.set()
            self._stopped.set()
            self._notify("STOPPING=1", "STATUS=Stopping.")

    def _notify(self, *lines: str) -> bool:
        return systemd.notify(*lines, environment=self._environment)

    def _run(self, name: str, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name=f"systemd-{name}", daemon=True).start()

    def _extend_start(self) -> None:
        until = time.monotonic() + _LONGEST_START
        while time.monotonic() < until:
            self._notify(f"EXTEND_TIMEOUT_USEC={int(_EXTEND_BY * 1e6)}")
            if self._started.wait(_EXTEND_EVERY):
                return

    def _report_status(self, status: Callable[[], str]) -> None:
        while True:
            try:
                self._notify(f"STATUS={status()}")
            except Exception as error:  # noqa: BLE001 - the next read may succeed
                self._notify(f"STATUS={error}")
            if self._liveness is not None:
                self._liveness.database_answered()
            if self._stopped.wait(_STATUS_EVERY):
                return

    def _send_alive(self, every: float) -> None:
        known = ""
        while self._liveness is not None and not self._stopped.wait(every):
            problem = self._liveness.problem()
            if not problem:
                self._notify("WATCHDOG=1")
            elif not known:
                _log.error("%s Unless this ends, systemd restarts the appliance within %g s.", problem, self._watchdog)
            known = problem
