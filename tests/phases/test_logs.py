"""The two logs of an attempt."""

import pytest

from moonmind_appliance.phases.logs import PhaseLogs


class Sink:
    def __init__(self, path: str, error: OSError | None = None) -> None:
        self.storage_path, self.error, self.closed = path, error, False

    def write(self, data: bytes, /) -> None:
        """Nothing is written here."""

    def close(self) -> None:
        self.closed = True
        if self.error:
            raise self.error


def test_both_are_closed_even_if_the_first_one_fails() -> None:
    """The error of the first one is raised."""
    stdout, stderr = Sink("out", OSError("disk full")), Sink("err")
    logs = PhaseLogs(stdout, stderr)
    assert logs.paths == {"stdout_path": "out", "stderr_path": "err"}
    with pytest.raises(OSError, match="disk full"):
        logs.close()
    assert (stdout.closed, stderr.closed) == (True, True)
