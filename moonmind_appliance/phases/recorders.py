"""What a phase reports to while it runs. The executor implements these; `phases` does not write to the database."""

from typing import Protocol

from moonmind_appliance.containers.engine import ByteSink
from moonmind_appliance.models import ArtifactType, PhaseName


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

    def keep(self, name: str, artifact_type: ArtifactType, phase: PhaseName, content: bytes, content_type: str) -> str:
        """Store a whole file and return its storage path. A file of the same name is replaced."""
