"""Artifact records; the bytes are on disk."""

from datetime import datetime

import msgspec

from moonmind_appliance.models import Artifact
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.events import record
from moonmind_appliance.store.rows import time_or_none, time_text, to_artifact

# The subquery reads the index `artifacts_expiry`; a join would read all artifacts.
EXPIRED = """
    SELECT run_id FROM runs WHERE run_id IN (SELECT run_id FROM artifacts WHERE expires_at <= ?)
        AND status NOT IN ('queued', 'in_progress') ORDER BY run_id
"""


class ArtifactStore:
    """One row per file; names are unique within a run."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, artifact: Artifact) -> Artifact:
        """Insert the artifact, or replace the run's artifact of that name; the id does not change, so links stay valid.

        Writes the event "artifact.saved" in the same transaction.

        Returns:
            the stored artifact.
        """
        values = msgspec.structs.asdict(artifact)
        values |= {
            "artifact_type": artifact.artifact_type.value,
            "source_phase": artifact.source_phase.value,
            "created_at": time_text(artifact.created_at),
            "expires_at": time_or_none(artifact.expires_at),
        }
        with self._database.write() as connection:
            row = connection.execute(
                """
                INSERT INTO artifacts VALUES (:artifact_id, :run_id, :name, :artifact_type, :storage_path,
                    :content_type, :size_bytes, :sha256, :source_phase, :created_at, :expires_at)
                ON CONFLICT (run_id, name) DO UPDATE SET
                    artifact_type = excluded.artifact_type, storage_path = excluded.storage_path,
                    content_type = excluded.content_type, size_bytes = excluded.size_bytes,
                    sha256 = excluded.sha256, source_phase = excluded.source_phase,
                    created_at = excluded.created_at, expires_at = excluded.expires_at
                RETURNING *
                """,
                values,
            ).fetchone()
            kept = to_artifact(row)
            record(
                connection,
                "artifact.saved",
                run_id=kept.run_id,
                data={
                    "artifact_id": kept.artifact_id,
                    "name": kept.name,
                    "artifact_type": kept.artifact_type.value,
                    "size_bytes": kept.size_bytes,
                },
            )
            return kept

    def get(self, run_id: str, artifact_id: str) -> Artifact | None:
        """The run's artifact with that id."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT * FROM artifacts WHERE artifact_id = ? AND run_id = ?", (artifact_id, run_id)
            ).fetchone()
            return None if row is None else to_artifact(row)

    def expire_at(self, run_id: str, at: datetime) -> None:
        """Set when the run's artifacts expire."""
        with self._database.write() as connection:
            connection.execute("UPDATE artifacts SET expires_at = ? WHERE run_id = ?", (time_text(at), run_id))

    def runs_expired(self, now: datetime) -> list[str]:
        """The runs with expired artifacts, without those that are open again."""
        with self._database.read() as connection:
            rows = connection.execute(EXPIRED, (time_text(now),))
            return [row["run_id"] for row in rows]

    def forget(self, run_id: str, name: str) -> None:
        """Delete the record of one artifact, whose file does not exist. Idempotent."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM artifacts WHERE run_id = ? AND name = ?", (run_id, name))

    def log_bytes(self, run_id: str) -> int:
        """The size of all logs of a run together, in bytes."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT coalesce(sum(size_bytes), 0) FROM artifacts WHERE run_id = ? AND artifact_type LIKE '%_log'",
                (run_id,),
            ).fetchone()
            return int(row[0])

    def list(self, run_id: str) -> list[Artifact]:
        """All of a run's artifacts, in order of creation."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM artifacts WHERE run_id = ? ORDER BY created_at, name", (run_id,))
            return [to_artifact(row) for row in rows]
