"""Runs a command in one of the run's containers."""

import threading

from moonmind_appliance.containers.engine import ByteSink
from moonmind_appliance.models import EndReason, ExecOutcome, ExecSpec
from moonmind_appliance.phases.context import PhaseContext


def run_command(
    ctx: PhaseContext, container: str, spec: ExecSpec, *, stdout: ByteSink, stderr: ByteSink
) -> ExecOutcome:
    """Execute a command; ends at once if the run is interrupted.

    Raises:
        RunInterrupted: a cancel, a shutdown or a lost lease ended it.
    """
    outcome = ctx.engine.execute(container, spec, stdout=stdout, stderr=stderr, cancel=ctx.cancel)
    if outcome.ended is EndReason.CANCELLED:
        ctx.cancel.check()
    return outcome


class Tee:
    """Writes bytes to several sinks, and keeps the last ones. Thread-safe."""

    def __init__(self, *sinks: ByteSink, keep: int = 64 * 1024) -> None:
        self._sinks = sinks
        self._keep = keep
        self._lock = threading.Lock()
        self._kept = bytearray()

    def write(self, data: bytes) -> None:
        """Write bytes."""
        with self._lock:
            for sink in self._sinks:
                sink.write(data)
            self._kept += data
            if len(self._kept) > self._keep:
                del self._kept[: -self._keep]

    @property
    def tail(self) -> bytes:
        """The last bytes written."""
        return bytes(self._kept)
