"""The records of kept files; the bytes are on disk."""

from datetime import datetime

import msgspec

from moonmind_appliance.models import Artifact
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.events import record
from moonmind_appliance.store.rows import time_or_none, time_text, to_artifact


class ArtifactStore:
    """One row a file; a run has one file of a name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, artifact: Artifact) -> Artifact:
        """Insert, or replace what the run has under that name: the first id stays, so that links stay good.

        Returns:
            the artifact as it is kept, with the event "artifact.saved" in the same transaction.
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
        """That run's artifact of that id."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT * FROM artifacts WHERE artifact_id = ? AND run_id = ?", (artifact_id, run_id)
            ).fetchone()
            return None if row is None else to_artifact(row)

    def expire_at(self, run_id: str, at: datetime) -> None:
        """Set until when the run's artifacts are kept."""
        with self._database.write() as connection:
            connection.execute("UPDATE artifacts SET expires_at = ? WHERE run_id = ?", (time_text(at), run_id))

    def runs_expired(self, now: datetime) -> list[str]:
        """The runs that have artifacts whose time is over and that are not open again."""
        with self._database.read() as connection:
            rows = connection.execute(
                """
                SELECT DISTINCT run_id FROM artifacts JOIN runs USING (run_id)
                WHERE expires_at <= ? AND status NOT IN ('queued', 'in_progress') ORDER BY run_id
                """,
                (time_text(now),),
            )
            return [row["run_id"] for row in rows]

    def remove(self, run_id: str) -> None:
        """Forget a run's artifacts. Safe twice."""
        with self._database.write() as connection:
            removed = connection.execute("DELETE FROM artifacts WHERE run_id = ?", (run_id,)).rowcount
            if removed:
                record(connection, "artifacts.removed", run_id=run_id, data={"count": removed})

    def list(self, run_id: str) -> list[Artifact]:
        """All of a run's artifacts, in the order of their making."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM artifacts WHERE run_id = ? ORDER BY created_at, name", (run_id,))
            return [to_artifact(row) for row in rows]
