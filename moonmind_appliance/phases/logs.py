"""The two logs of an attempt at a phase."""

from moonmind_appliance.phases.recorders import LogSink


class PhaseLogs:
    """The two artifacts that a command's output is streamed to, redacted."""

    def __init__(self, stdout: LogSink, stderr: LogSink) -> None:
        self.stdout = stdout
        self.stderr = stderr

    @property
    def paths(self) -> dict[str, str]:
        """Storage paths in the form of `PhaseResult`'s fields."""
        return {"stdout_path": self.stdout.storage_path, "stderr_path": self.stderr.storage_path}
