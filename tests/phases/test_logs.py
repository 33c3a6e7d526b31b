"""The two logs of an attempt."""

from moonmind_appliance.phases.commands import Tee
from moonmind_appliance.phases.logs import PhaseLogs


class Log(Tee):
    """A log in memory."""

    def __init__(self, storage_path: str) -> None:
        super().__init__()
        self.storage_path = storage_path

    def close(self) -> None:
        """Nothing is open."""


def test_their_paths_are_fields_of_a_result() -> None:
    """By stream."""
    assert PhaseLogs(Log("out"), Log("err")).paths == {"stdout_path": "out", "stderr_path": "err"}
