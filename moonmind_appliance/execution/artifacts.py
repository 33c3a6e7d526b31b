"""Stores a run's artifacts: the file on disk together with its database row."""

import contextlib
import uuid
from collections.abc import Callable
from datetime import datetime

import msgspec

from moonmind_appliance.artifact_files import ArtifactFiles, ArtifactWriter, SharedLimit, Written
from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import Artifact, ArtifactType, PhaseName
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.store import Store


class RunArtifacts:
    """The artifacts of one run; an `ArtifactRecorder` for its phases. Thread-safe for different names.

    `longest_log` is the limit of one log, `all_logs` that of all logs of the run together, in bytes; None: no limit.
    """

    def __init__(
        self,
        run_id: str,
        *,
        store: Store,
        files: ArtifactFiles,
        redactor: Redactor,
        clock: Callable[[], datetime],
        longest_log: int | None = None,
        all_logs: int | None = None,
    ) -> None:
        self._run_id = run_id
        self._store = store
        self._files = files
        self._redactor = redactor
        self._clock = clock
        self._longest_log = longest_log
        self._shared = None if all_logs is None else SharedLimit(all_logs, store.artifacts.log_bytes(run_id))

    def log(self, phase: PhaseName, attempt: int, artifact_type: ArtifactType) -> "GrowingArtifact":
        """A new log; it can be read and listed while it grows."""
        stream = "stderr" if artifact_type is ArtifactType.STDERR_LOG else "stdout"
        again = f".attempt-{attempt}" if attempt > 1 else ""
        suffix = "jsonl" if stream == "stdout" and phase.value.startswith("speckit_") else "log"
        name = f"{phase.value}{again}.{stream}.{suffix}"
        writer = self._files.open(self._run_id, name, self._redactor, most_bytes=self._longest_log, shared=self._shared)
        artifact = self._artifact(
            name, artifact_type, phase, "text/plain; charset=utf-8", Written(writer.storage_path, 0, "")
        )
        try:
            return GrowingArtifact(writer, artifact, self._store)
        except StoreError:
            with contextlib.suppress(StoreError):
                writer.close()
            raise

    def read(self, name: str) -> bytes | None:
        """The content of the artifact of that name; None if the run has none, or it cannot be read."""
        return self._files.read(self._run_id, name)

    def keep(self, name: str, artifact_type: ArtifactType, phase: PhaseName, content: bytes, content_type: str) -> str:
        """Store a whole file and return its storage path. A file of the same name is replaced."""
        written = self._files.write(self._run_id, name, content, self._redactor)
        self._store.artifacts.save(self._artifact(name, artifact_type, phase, content_type, written))
        return written.storage_path

    def _artifact(
        self, name: str, artifact_type: ArtifactType, phase: PhaseName, content_type: str, written: Written
    ) -> Artifact:
        return Artifact(
            artifact_id=str(uuid.uuid4()),
            run_id=self._run_id,
            name=name,
            artifact_type=artifact_type,
            storage_path=written.storage_path,
            content_type=content_type,
            size_bytes=written.size_bytes,
            sha256=written.sha256,
            source_phase=phase,
            created_at=self._clock(),
        )


class GrowingArtifact:
    """A log that grows on disk. Its row exists from the first byte; size and digest are final once it is closed."""

    def __init__(self, writer: ArtifactWriter, artifact: Artifact, store: Store) -> None:
        self._writer = writer
        self._artifact = artifact
        self._store = store
        self._closed = False
        store.artifacts.save(artifact)

    @property
    def storage_path(self) -> str:
        """Relative to the data folder."""
        return self._artifact.storage_path

    def write(self, data: bytes, /) -> None:
        """Append bytes."""
        self._writer.write(data)

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._closed:
            return
        self._closed = True
        written = self._writer.close()
        self._store.artifacts.save(
            msgspec.structs.replace(self._artifact, size_bytes=written.size_bytes, sha256=written.sha256)
        )
