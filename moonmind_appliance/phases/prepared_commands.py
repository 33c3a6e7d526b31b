"""Starts a program of the run's next command while the current command still runs."""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress

from moonmind_appliance.containers.engine import CancelToken, ContainerEngine, PreparedExec
from moonmind_appliance.errors import EngineError
from moonmind_appliance.in_container.command import waiting
from moonmind_appliance.models import ExecSpec
from moonmind_appliance.phases.background import in_background

# Waiting longer for a start saves no time compared with a new one.
_STARTED_WITHIN = 5.0
_LOOK = 0.05

_log = logging.getLogger(__name__)


class PreparedCommands:
    """The run's waiting programs. Thread-safe.

    They only save time: if a program did not start, or ended, its command is executed anew. An agent can end or replace
    a program that waits in its container, as it can replace any program that starts there later.
    """

    def __init__(self, engine: ContainerEngine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, list[str], Future[PreparedExec]]] = []
        self._closed = False

    def prepare(self, container: str, argv: Sequence[str]) -> None:
        """Start the program of a command in the background; `argv` is from `in_container.command`, with any job."""
        program = waiting(argv)
        with self._lock:
            if not self._closed:
                start = in_background("prepare", lambda: self._engine.prepare(container, ExecSpec(command=program)))
                self._waiting.append((container, program, start))

    def take(self, container: str, argv: Sequence[str], cancel: CancelToken) -> PreparedExec | None:
        """The oldest waiting program that fits the command; None if there is none. The caller runs or closes it."""
        program = waiting(argv)
        with self._lock:
            found = next((each for each in self._waiting if each[:2] == (container, program)), None)
            if found is None:
                return None
            self._waiting.remove(found)
        return self._started(found[2], cancel)

    def _started(self, start: "Future[PreparedExec]", cancel: CancelToken) -> PreparedExec | None:
        for _ in range(round(_STARTED_WITHIN / _LOOK)):
            if cancel.reason is not None:
                break
            with suppress(NotYet):
                try:
                    return start.result(_LOOK)
                except EngineError as error:
                    _log.info("A program could not be started in advance: %s", error)
                    return None
        start.add_done_callback(_close)
        return None

    def close(self) -> None:
        """End all programs that still wait. Idempotent; later calls of `prepare` do nothing."""
        with self._lock:
            self._closed = True
            waiting_now, self._waiting = self._waiting, []
        for _, _, start in waiting_now:
            start.add_done_callback(_close)


def _close(start: "Future[PreparedExec]") -> None:
    if start.exception() is None:
        start.result().close()
