"""One exec that is started before its input is known, and waits for it.

The start of an exec takes the engine some 50 ms, and the start of a program in it as long again. Both can pass while
another command runs.
"""

from moonmind_appliance.containers.engine import ByteSink, CancelToken
from moonmind_appliance.containers.execution import ExecCalls, Execution
from moonmind_appliance.models import EndReason, ExecOutcome, ExecSpec

# A command that waits for a line takes it at once.
_TAKEN_WITHIN = 10.0


class PreparedExecution:
    """Implements `PreparedExec`. Creating it starts the command."""

    def __init__(self, calls: ExecCalls, container: str, spec: ExecSpec) -> None:
        self._calls = calls
        self._container = container
        self._exec_id = calls.create_exec(container, spec, reads_stdin=True)
        self._connection = calls.attach_exec(self._exec_id)

    def run(
        self,
        line: bytes,
        spec: ExecSpec,
        *,
        stdout: ByteSink,
        stderr: ByteSink,
        cancel: CancelToken | None = None,
    ) -> ExecOutcome | None:
        """Give it its line, and wait for its end. See `PreparedExec.run`."""
        execution = Execution(self._calls, self._container, spec, stdout=stdout, stderr=stderr, cancel=cancel)
        if execution.cancelled:
            self.close()
            return execution.outcome(EndReason.CANCELLED)
        # A waiting command prints nothing, so any output, and its end, mean that it is not what was started.
        if self._connection.read(0) is not None:
            self.close()
            return None
        try:
            self._connection.send(line, _TAKEN_WITHIN)
        except OSError:
            # At most a part of the line was sent, which the command ignores.
            self.close()
            return None
        return execution.follow(self._connection, self._exec_id)

    def close(self) -> None:
        """End it without a line. See `PreparedExec.close`."""
        self._connection.close()
