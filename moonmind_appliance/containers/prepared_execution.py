"""One exec that is started before its input is known, and waits for it.

The engine takes about 50 ms to start an exec, and the program in it about as long to start. Both can happen while
another command runs.
"""

from moonmind_appliance.containers.engine import ByteSink, CancelToken
from moonmind_appliance.containers.execution import ExecCalls, Execution
from moonmind_appliance.models import EndReason, ExecOutcome, ExecSpec

# A waiting command reads its line at once.
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
        """See `PreparedExec.run`."""
        execution = Execution(self._calls, self._container, spec, stdout=stdout, stderr=stderr, cancel=cancel)
        if execution.cancelled:
            self.close()
            return execution.outcome(EndReason.CANCELLED)
        # A waiting command prints nothing. If it printed something or ended, the agent may have replaced it.
        if self._connection.read(0) is not None:
            self.close()
            return None
        try:
            self._connection.send(line, _TAKEN_WITHIN)
        except OSError:
            # At most a part of the line was sent; the command ignores an incomplete line.
            self.close()
            return None
        return execution.follow(self._connection, self._exec_id)

    def close(self) -> None:
        """See `PreparedExec.close`."""
        self._connection.close()
