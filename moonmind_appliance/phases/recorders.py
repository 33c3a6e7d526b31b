"""What a running phase reports to. The executor implements these: `phases` does not write to the database."""

from collections.abc import Mapping
from typing import Protocol

from moonmind_appliance.containers.engine import ByteSink
from moonmind_appliance.models import ArtifactType, LoginCheck, PhaseName


class LogSink(ByteSink, Protocol):
    """An artifact that grows while a command runs."""

    @property
    def storage_path(self) -> str:
        """Its path, relative to the data folder."""

    def close(self) -> object:
        """Close it. Idempotent."""


class ArtifactRecorder(Protocol):
    """Stores the artifacts of a run's phases; redacts all of them."""

    def log(self, phase: PhaseName, attempt: int, artifact_type: ArtifactType) -> LogSink:
        """A new log of that phase and attempt."""

    def read(self, name: str) -> bytes | None:
        """The content of the file of that name; None if the run has none, or it cannot be read."""

    def keep(self, name: str, artifact_type: ArtifactType, phase: PhaseName, content: bytes, content_type: str) -> str:
        """Store a whole file and return its storage path. A file of the same name is replaced."""


class EventRecorder(Protocol):
    """Stores events of the run."""

    def record(self, kind: str, data: Mapping[str, object]) -> None:
        """Store an event, and log its line. `data` must be JSON-compatible."""


class LoginRecorder(Protocol):
    """Stores what the login file of the run's shard shows, and adds its secrets to redaction."""

    def record(self, login_file: bytes | None) -> str:
        """Record the file's content, None if there is no file. May be called again with the same content.

        Returns:
            Why the run must not use this login; "" if it may.
        """

    def checked(self, check: LoginCheck) -> None:
        """Store that the run's login broker tried to renew the login; `record` was called with the file after it."""
