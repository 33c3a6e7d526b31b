"""One exec from its start to its end: output, limits and cancel.

The Docker API has no call that ends an exec, so an exec that must end early is ended by killing its container: nothing
of it is left, including processes that detached from it.
"""

import threading
import time
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import NamedTuple, Protocol

from moonmind_appliance.containers.engine import ByteSink, CancelToken
from moonmind_appliance.containers.exec_stream import Demultiplexer, HijackedConnection
from moonmind_appliance.errors import EngineError, EngineUnreachable
from moonmind_appliance.models import EndReason, ExecOutcome, ExecSpec

_TICK = 0.1
"""Longest delay, in seconds, before a cancel is noticed."""

_FIRST_CHECK, _NEXT_CHECKS = 0.25, 2.0
"""Seconds of silence after which the engine is asked whether the exec still runs, and the longest time between two
checks. A background child of the command may keep the output open, and a connection may break unnoticed."""

_QUIET_AFTER_EXIT, _OUTPUT_AFTER_EXIT = 0.3, 5.0
_OUTPUT_ENDS_WITHIN = 5.0
_EXIT_CODE_WITHIN = 10.0
_ENGINE_GONE_AFTER = 60.0
_QUICK_ANSWER = 0.05
# Exit codes that may mean that the container ended: 126 and 127 could not start, 128 and more was killed.
_MAY_BE_KILLED = 126


class ExecState(NamedTuple):
    """What the engine reports about an exec."""

    running: bool
    exit_code: int | None


class ExecGone(EngineError):
    """The exec cannot be started: its container does not run, or no longer."""


class ExecCalls(Protocol):
    """What an execution needs from the engine. All may raise EngineError, EngineUnreachable if it does not answer."""

    def create_exec(self, container: str, spec: ExecSpec, *, reads_stdin: bool = False) -> str:
        """Create an exec; returns its id. Raises ContainerNotFound, ExecGone."""

    def attach_exec(self, exec_id: str) -> HijackedConnection:
        """Start it; returns the connection that carries its output. Raises ExecGone."""

    def exec_state(self, exec_id: str) -> ExecState | None:
        """Its state; None if the engine does not know it, or no longer."""

    def is_running(self, container: str) -> bool:
        """Whether the container runs."""

    def kill(self, container: str) -> bool:
        """End all processes of the container, and wait until they have ended."""


class Execution:
    """One exec; `run` or `follow` is called once."""

    def __init__(
        self,
        calls: ExecCalls,
        container: str,
        spec: ExecSpec,
        *,
        stdout: ByteSink,
        stderr: ByteSink,
        cancel: CancelToken | None,
    ) -> None:
        self._calls = calls
        self._container = container
        self._spec = spec
        self._cancel = cancel
        self._output = Demultiplexer(stdout, stderr)
        self._started = self._heard = time.monotonic()

    def run(self) -> ExecOutcome:
        """Run the command to its end; see `ContainerEngine.execute`."""
        if self.cancelled:
            return self.outcome(EndReason.CANCELLED)
        try:
            exec_id = self._calls.create_exec(self._container, self._spec)
            connection = self._calls.attach_exec(exec_id)
        except ExecGone:
            return self.outcome(EndReason.CONTAINER_GONE)
        return self.follow(connection, exec_id)

    def follow(self, connection: HijackedConnection, exec_id: str) -> ExecOutcome:
        """Follow a command that runs to its end, and close the connection; see `ContainerEngine.execute`."""
        with connection:
            try:
                ended = self._follow(connection, exec_id)
            except BaseException:  # such as a sink's: the command must not continue while its output is lost
                self._output = Demultiplexer(_Discard(), _Discard())
                self._end(connection)
                raise
            if ended not in {EndReason.EXITED, EndReason.CONTAINER_GONE}:
                self._end(connection)
        if ended is not EndReason.EXITED:
            return self.outcome(ended)
        return self._judge(exec_id)

    def outcome(self, ended: EndReason, exit_code: int | None = None) -> ExecOutcome:
        """The outcome, with the time until now."""
        return ExecOutcome(ended, exit_code, time.monotonic() - self._started)

    @property
    def cancelled(self) -> bool:
        """Whether the command must end, or must not begin."""
        return self._cancel is not None and self._cancel.reason is not None

    def _follow(self, connection: HijackedConnection, exec_id: str) -> EndReason:
        """Pass output on until the command ends, or a limit or cancel is reached."""
        checks = _Checks(self._calls, exec_id)
        while True:
            now = time.monotonic()
            if reached := self._reached(now):
                return reached
            data = connection.read(min(_TICK, self._next_limit(now)))
            if data:
                self._heard = time.monotonic()
                self._output.feed(data)
                checks.output_came()
            elif data is not None:
                return EndReason.EXITED
            if (running := checks.running()) is not True:
                self._drain(connection)
                return EndReason.EXITED if running is False else EndReason.CONTAINER_GONE

    def _reached(self, now: float) -> EndReason | None:
        if self.cancelled:
            return EndReason.CANCELLED
        spec = self._spec
        if spec.time_limit is not None and now - self._started >= spec.time_limit:
            return EndReason.TIMED_OUT
        if spec.silence_limit is not None and now - self._heard >= spec.silence_limit:
            return EndReason.SILENT
        return None

    def _next_limit(self, now: float) -> float:
        spec = self._spec
        limits = [_TICK]
        if spec.time_limit is not None:
            limits.append(self._started + spec.time_limit - now)
        if spec.silence_limit is not None:
            limits.append(self._heard + spec.silence_limit - now)
        return max(0.0, min(limits))

    def _drain(self, connection: HijackedConnection) -> None:
        """Pass on the remaining output until there is a pause; a child in the background may write forever."""
        give_up = time.monotonic() + _OUTPUT_AFTER_EXIT
        while time.monotonic() < give_up and (data := connection.read(_QUIET_AFTER_EXIT)):
            self._output.feed(data)

    def _end(self, connection: HijackedConnection) -> None:
        """Kill the container, and pass on the last output.

        Both at once: the engine blocks on output that is not read, and then ends nothing.
        """
        killing = threading.Thread(target=self._kill, name="end-exec", daemon=True)
        killing.start()
        failed: BaseException | None = None
        give_up: float | None = None
        while (data := connection.read(_TICK)) != b"":
            if data:
                try:
                    self._output.feed(data)
                except BaseException as error:  # noqa: BLE001 - raised below, when the processes have ended
                    failed = failed or error
                    self._output = Demultiplexer(_Discard(), _Discard())
            elif not killing.is_alive():
                give_up = give_up or time.monotonic() + _OUTPUT_ENDS_WITHIN
                if time.monotonic() >= give_up:
                    break
        killing.join()
        if failed is not None:
            raise failed

    def _kill(self) -> None:
        with suppress(EngineError):  # the container or the engine is gone: no more output comes
            self._calls.kill(self._container)

    def _exit_state(self, exec_id: str, give_up: float) -> ExecState | None:
        """The state of an exec whose output has ended; its exit code may come a little later."""
        pause = 0.002
        while True:
            state = self._calls.exec_state(exec_id)
            if state is None or not state.running or time.monotonic() >= give_up:
                return state
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def _judge(self, exec_id: str) -> ExecOutcome:
        """The outcome, after all output has been passed on."""
        try:
            state = self._exit_state(exec_id, time.monotonic() + _EXIT_CODE_WITHIN)
            if state is None or state.exit_code is None:
                return self.outcome(EndReason.CONTAINER_GONE)
            if state.exit_code >= _MAY_BE_KILLED and self._container_ended():
                return self.outcome(EndReason.CONTAINER_GONE)
        except EngineError:
            return self.outcome(EndReason.CONTAINER_GONE)
        return self.outcome(EndReason.EXITED, state.exit_code)

    def _container_ended(self) -> bool:
        """Whether the container ended, too; the engine knows that a moment later than the end of the exec."""
        give_up = time.monotonic() + 0.5
        while self._calls.is_running(self._container):
            if time.monotonic() >= give_up:
                return False
            time.sleep(0.02)
        return True


class _Discard:
    """Takes the output after a sink failed."""

    def write(self, _: bytes, /) -> None:
        """Drop it."""


class _Checks:
    """Asks the engine at intervals whether an exec still runs; soon after its output stops.

    A slow engine must not delay limits and a cancel: each question has a thread of its own.
    """

    def __init__(self, calls: ExecCalls, exec_id: str) -> None:
        self._calls = calls
        self._exec_id = exec_id
        self._unanswered_since: float | None = None
        self._asked: Future[ExecState | None] | None = None
        self._latest = time.monotonic()
        self.output_came()

    def output_came(self) -> None:
        """Check later: the exec runs, and so does the engine."""
        self._unanswered_since = None
        self._pause = _FIRST_CHECK
        self._next = min(time.monotonic() + _FIRST_CHECK, self._latest + _NEXT_CHECKS)

    def running(self) -> bool | None:
        """True while it runs, or nothing is known; None if the exec is lost."""
        now = time.monotonic()
        if self._asked is None:
            if now < self._next:
                return True
            self._asked = self._ask()
        if not wait([self._asked], _QUICK_ANSWER).done:
            return True
        answered, self._asked = self._asked, None
        self._pause = min(self._pause * 2, _NEXT_CHECKS)
        self._latest, self._next = now, now + self._pause
        try:
            state = answered.result()
        except EngineUnreachable:
            self._unanswered_since = self._unanswered_since or now
            return True if now - self._unanswered_since < _ENGINE_GONE_AFTER else None
        except EngineError:
            return None
        self._unanswered_since = None
        return None if state is None else state.running

    def _ask(self) -> "Future[ExecState | None]":
        asked: Future[ExecState | None] = Future()

        def ask() -> None:
            try:
                asked.set_result(self._calls.exec_state(self._exec_id))
            except BaseException as error:  # noqa: BLE001 - raised where the answer is read
                asked.set_exception(error)

        threading.Thread(target=ask, name="exec-state", daemon=True).start()
        return asked
