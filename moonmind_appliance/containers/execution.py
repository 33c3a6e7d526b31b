"""One exec from its start to its end: streams, limits, cancel, and what is done when it must end.

The Docker API has no call that ends an exec. So the exec says its process id (`convert.exec_arguments`), and a second
exec ends that process and all that came of it; where this does not work the container is killed.
"""

import threading
import time
import uuid
from contextlib import suppress
from typing import NamedTuple, Protocol

from moonmind_appliance.containers import convert
from moonmind_appliance.containers.engine import ByteSink, CancelToken
from moonmind_appliance.containers.exec_stream import Demultiplexer, HijackedConnection, LeaderLine
from moonmind_appliance.errors import EngineError, EngineUnreachable
from moonmind_appliance.models import EndReason, ExecOutcome, ExecSpec

_TICK = 0.1
"""Seconds until a cancel is seen, at most."""

_FIRST_LOOK, _NEXT_LOOKS = 0.25, 2.0
"""After so much silence, and every so often, the engine is asked whether the exec still runs: a child that the command
left behind may hold the output open, and a connection may be dead without saying so."""

_TRAILING, _TRAILING_AT_MOST = 0.3, 5.0
_LEADER_WITHIN = 2.0
_STREAM_ENDS_WITHIN = 1.0
_ENDED_WITHIN = 5.0
_EXIT_KNOWN_WITHIN = 10.0
_ENGINE_GONE_AFTER = 60.0
_KILLED = 137


class ExecState(NamedTuple):
    """What the engine says of an exec."""

    running: bool
    exit_code: int | None


class ExecGone(EngineError):
    """The exec cannot be started: its container does not run (any more)."""


class ExecCalls(Protocol):
    """What an execution needs of the engine. All may raise EngineError; EngineUnreachable where nothing answers."""

    def create_exec(self, container: str, spec: ExecSpec, mark: str) -> str:
        """The new exec's id. Raises ContainerNotFound, ExecGone."""

    def attach_exec(self, exec_id: str) -> HijackedConnection:
        """Start it, and its output. Raises ExecGone."""

    def exec_state(self, exec_id: str) -> ExecState | None:
        """How it stands; None where the engine does not know it (any more)."""

    def is_running(self, container: str) -> bool:
        """Whether the container runs."""

    def kill(self, container: str) -> bool:
        """End all processes of the container."""


class Execution:
    """One exec; `run` is called once."""

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
        self._mark = uuid.uuid4().hex
        self._stderr = LeaderLine(stderr)
        self._output = Demultiplexer(stdout, self._stderr)
        self._started = self._heard = time.monotonic()

    def run(self) -> ExecOutcome:
        """From start to end; see `ContainerEngine.execute`."""
        if self._cancelled:
            return self._outcome(EndReason.CANCELLED)
        try:
            exec_id = self._calls.create_exec(self._container, self._spec, self._mark)
            connection = self._calls.attach_exec(exec_id)
        except ExecGone:
            return self._outcome(EndReason.CONTAINER_GONE)
        with connection:
            try:
                ended = self._follow(connection, exec_id)
            except BaseException:  # a sink that fails, too, must not leave a command that nobody hears
                self._output = Demultiplexer(_Nowhere(), _Nowhere())
                self._end(connection)
                raise
            if ended not in {EndReason.EXITED, EndReason.CONTAINER_GONE}:
                self._end(connection)
            self._stderr.flush()
        if ended is not EndReason.EXITED:
            return self._outcome(ended)
        return self._judge(exec_id)

    def _outcome(self, ended: EndReason, exit_code: int | None = None) -> ExecOutcome:
        return ExecOutcome(ended, exit_code, time.monotonic() - self._started)

    @property
    def _cancelled(self) -> bool:
        return self._cancel is not None and self._cancel.reason is not None

    def _follow(self, connection: HijackedConnection, exec_id: str) -> EndReason:
        """Hand output on until it ends or must end."""
        looks = _Looks(self._calls, exec_id)
        while True:
            now = time.monotonic()
            if reached := self._reached(now):
                return reached
            data = connection.read(min(_TICK, self._next_limit(now)))
            if data:
                self._heard = time.monotonic()
                self._output.feed(data)
                looks.heard()
            elif data is not None:
                return EndReason.EXITED
            if (running := looks.running()) is not True:
                self._drain(connection)
                return EndReason.EXITED if running is False else EndReason.CONTAINER_GONE

    def _reached(self, now: float) -> EndReason | None:
        if self._cancelled:
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
        """Hand on what still comes, until it is quiet: what a child in the background says may go on for ever."""
        give_up = time.monotonic() + _TRAILING_AT_MOST
        while time.monotonic() < give_up and (data := connection.read(_TRAILING)):
            self._output.feed(data)

    def _end(self, connection: HijackedConnection) -> None:
        """End the processes and hand on their last output.

        Both at once: while nobody reads an exec's output, the engine is stuck with it, and ends nothing.
        """
        self._learn_leader(connection)
        stream_ended = threading.Event()
        ending = threading.Thread(target=self._end_somehow, args=(stream_ended,), name="end-exec", daemon=True)
        ending.start()
        failed: BaseException | None = None
        while data := self._read_while(connection, ending):
            try:
                self._output.feed(data)
            except BaseException as error:  # noqa: BLE001 - raised below, when the processes are ended
                failed = failed or error
                self._output = Demultiplexer(_Nowhere(), _Nowhere())
        stream_ended.set()
        ending.join()
        if failed is not None:
            raise failed

    def _read_while(self, connection: HijackedConnection, ending: threading.Thread) -> bytes:
        """More output; empty at its end, or when it does not end although all was done to end it."""
        while (data := connection.read(_TICK)) is None and ending.is_alive():
            pass
        return data or b""

    def _end_somehow(self, stream_ended: threading.Event) -> None:
        if self._end_processes() and stream_ended.wait(_STREAM_ENDS_WITHIN):
            return
        with suppress(EngineError):  # it is gone, or the engine is: nothing more comes
            self._calls.kill(self._container)
        stream_ended.wait(_ENDED_WITHIN)

    def _learn_leader(self, connection: HijackedConnection) -> None:
        """Wait until the exec has said its process id: what has not begun yet cannot be ended."""
        give_up = time.monotonic() + _LEADER_WITHIN
        while self._stderr.process_id is None and (left := give_up - time.monotonic()) > 0:
            data = connection.read(left)
            if not data:
                return
            self._output.feed(data)

    def _end_processes(self) -> bool:
        """End the exec's processes; False where it is not certain that none is left."""
        spec = convert.end_processes(self._stderr.process_id, self._mark)
        give_up = time.monotonic() + _ENDED_WITHIN
        try:
            exec_id = self._calls.create_exec(self._container, spec, uuid.uuid4().hex)
            with self._calls.attach_exec(exec_id) as connection:
                while (left := give_up - time.monotonic()) > 0 and connection.read(left):
                    pass
            state = self._exit_state(exec_id, give_up)
        except (EngineError, OSError):
            return False
        return state is not None and state.exit_code == 0

    def _exit_state(self, exec_id: str, give_up: float) -> ExecState | None:
        """The state of an exec whose output has ended; its exit code can trail a little."""
        pause = 0.002
        while True:
            state = self._calls.exec_state(exec_id)
            if state is None or not state.running or time.monotonic() >= give_up:
                return state
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def _judge(self, exec_id: str) -> ExecOutcome:
        """How it ended, now that all output is there."""
        try:
            state = self._exit_state(exec_id, time.monotonic() + _EXIT_KNOWN_WITHIN)
            if state is None or state.exit_code is None:
                return self._outcome(EndReason.CONTAINER_GONE)
            begun = self._stderr.process_id is not None
            if (state.exit_code == _KILLED or not begun) and self._container_ended():
                return self._outcome(EndReason.CONTAINER_GONE)
        except EngineError:
            return self._outcome(EndReason.CONTAINER_GONE)
        return self._outcome(EndReason.EXITED, state.exit_code)

    def _container_ended(self) -> bool:
        """Whether the container ended, too; the engine hears of that a moment after it hears of the exec."""
        give_up = time.monotonic() + 0.5
        while self._calls.is_running(self._container):
            if time.monotonic() >= give_up:
                return False
            time.sleep(0.02)
        return True


class _Nowhere:
    """Where output goes after a sink failed."""

    def write(self, _: bytes, /) -> None:
        """Forget it."""


class _Looks:
    """Asks the engine now and then whether an exec still runs, soon where nothing is heard of it."""

    def __init__(self, calls: ExecCalls, exec_id: str) -> None:
        self._calls = calls
        self._exec_id = exec_id
        self._unanswered_since: float | None = None
        self._latest = time.monotonic()
        self.heard()

    def heard(self) -> None:
        """Output came."""
        self._pause = _FIRST_LOOK
        self._next = min(time.monotonic() + _FIRST_LOOK, self._latest + _NEXT_LOOKS)

    def running(self) -> bool | None:
        """True while it does, or is thought to; None when the exec is lost."""
        now = time.monotonic()
        if now < self._next:
            return True
        self._pause = min(self._pause * 2, _NEXT_LOOKS)
        self._latest, self._next = now, now + self._pause
        try:
            state = self._calls.exec_state(self._exec_id)
        except EngineUnreachable:
            self._unanswered_since = self._unanswered_since or now
            return True if now - self._unanswered_since < _ENGINE_GONE_AFTER else None
        except EngineError:
            return None
        self._unanswered_since = None
        return None if state is None else state.running
