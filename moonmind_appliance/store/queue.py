"""The queue: which shard works on which run, and for how long without a sign of life."""

import logging
import sqlite3
from datetime import UTC, datetime, timedelta

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import FailureCode, Run, RunStatus, WaitingFor, failure
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.events import record
from moonmind_appliance.store.rows import json_text, time_text
from moonmind_appliance.store.run_changes import cancel, change_status, claimed_row, waiting_columns, whole_run

_log = logging.getLogger(__name__)


class RunQueue:
    """Claims queued runs, keeps the claims alive, and returns runs to the queue.

    A run in progress belongs to one claim, named by its lease.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, shard: int, lease: str, *, now: datetime, lease_seconds: int) -> Run | None:
        """Claim a queued run for this shard: the first in the queue of the user with the fewest runs in progress.

        Skips runs that are pinned to another shard or wait for a later time. A paused shard claims none. A run whose
        row cannot be read is marked failed, and the next one is claimed. Two claims never take the same run, even from
        different threads or processes.

        Args:
            shard: the shard that will execute it.
            lease: a new name for this claim.
            now: the time to compare waiting times with.
            lease_seconds: how long the claim is valid without a heartbeat.
        """
        with self._database.write() as connection:
            while True:
                first = connection.execute(_FIRST, {"shard": shard, "now": time_text(now)}).fetchone()
                if first is None:
                    return None
                row = change_status(
                    connection,
                    first["run_id"],
                    RunStatus.QUEUED,
                    RunStatus.IN_PROGRESS,
                    "run.claimed",
                    at=now,
                    shard=shard,
                    fields={
                        "shard": shard,
                        "lease": lease,
                        "lease_until": time_text(now + timedelta(seconds=lease_seconds)),
                        "started_at": first["started_at"] or time_text(now),
                    },
                )
                try:
                    return whole_run(connection, row)
                except StoreError as error:
                    _fail_unreadable(connection, row["run_id"], error, now)

    def heartbeat(self, run_id: str, lease: str, *, now: datetime, lease_seconds: int) -> bool:
        """Renew the claim.

        Returns:
            True when a cancel was requested.

        Raises:
            LeaseLost: the claim is over.
        """
        with self._database.write() as connection:
            row = claimed_row(connection, run_id, lease)
            connection.execute(
                "UPDATE runs SET lease_until = ? WHERE run_id = ?",
                (time_text(now + timedelta(seconds=lease_seconds)), run_id),
            )
            return row["cancel_requested_at"] is not None

    def lease_until(self, run_id: str) -> datetime | None:
        """When the run's claim expires without another heartbeat (UTC); None if it is not claimed."""
        with self._database.read() as connection:
            row = connection.execute("SELECT lease_until FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            return None if row is None or row[0] is None else datetime.fromisoformat(row[0])

    def release(
        self,
        run_id: str,
        lease: str,
        *,
        waiting_for: WaitingFor | None,
        interrupted: bool,
        queued_at: datetime | None = None,
    ) -> None:
        """Requeue a run in progress: it must wait, or was interrupted (which is counted).

        A run whose cancel was requested meanwhile becomes `cancelled` instead: nothing would end its wait.

        Args:
            run_id: which run.
            lease: its claim.
            waiting_for: what it waits for; None: only its turn.
            interrupted: whether to count it as an interruption.
            queued_at: its new place in the queue, after the runs submitted before that time; None: the same place.

        Raises:
            LeaseLost: the claim is over.
        """
        with self._database.write() as connection:
            row = claimed_row(connection, run_id, lease)
            _requeue(connection, row, waiting_for=waiting_for, interrupted=interrupted, queued_at=queued_at)

    def requeue_abandoned(self, run_id: str, lease: str | None) -> bool:
        """Requeue the run of a dead claim. A run whose cancel was requested becomes `cancelled`.

        Returns:
            False when the run is no longer in progress under exactly that lease.
        """
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT * FROM runs WHERE run_id = ? AND status = 'in_progress' AND lease IS ?", (run_id, lease)
            ).fetchone()
            if row is None:
                return False
            _requeue(connection, row, waiting_for=None, interrupted=True)
            return True

    def wait(self, run_id: str, waiting_for: WaitingFor | None) -> None:
        """Set what a queued run waits for (None: only its turn). No effect on a run that is not queued."""
        with self._database.write() as connection:
            changed = connection.execute(
                """
                UPDATE runs SET waiting_for = :waiting_for, waiting_until = :waiting_until
                WHERE run_id = :run_id AND status = 'queued' AND waiting_for IS NOT :waiting_for
                """,
                {**waiting_columns(waiting_for), "run_id": run_id},
            ).rowcount
            if changed:
                kind = "run.ready" if waiting_for is None else "run.waiting"
                data = {"status": RunStatus.QUEUED.value, "waiting_for": waiting_for}
                record(connection, kind, run_id=run_id, data=data)


_FIRST = """
    SELECT waiting.run_id, waiting.started_at FROM runs AS waiting
    LEFT JOIN (
        SELECT subject, count(*) AS runs FROM runs WHERE status = 'in_progress' GROUP BY subject
    ) AS busy ON busy.subject = waiting.subject
    WHERE waiting.status = 'queued'
        AND (waiting.shard_pin IS NULL OR waiting.shard_pin = :shard)
        AND (waiting.waiting_until IS NULL OR waiting.waiting_until <= :now)
        AND NOT EXISTS (
            SELECT 1 FROM shards WHERE shard = :shard AND json_extract(state, '$.paused_at') IS NOT NULL
        )
    ORDER BY coalesce(busy.runs, 0), coalesce(waiting.queued_at, waiting.accepted_at), waiting.run_id
    LIMIT 1
"""


def _requeue(
    connection: sqlite3.Connection,
    row: sqlite3.Row,
    *,
    waiting_for: WaitingFor | None,
    interrupted: bool,
    queued_at: datetime | None = None,
) -> None:
    run_id, interruptions = row["run_id"], row["interruptions"] + interrupted
    if row["cancel_requested_at"] is not None:
        cancel(connection, run_id, RunStatus.IN_PROGRESS, datetime.now(UTC))
        return
    change_status(
        connection,
        run_id,
        RunStatus.IN_PROGRESS,
        RunStatus.QUEUED,
        "run.requeued" if waiting_for is None else "run.waiting",
        shard=row["shard"],
        fields={
            **waiting_columns(waiting_for),
            "interruptions": interruptions,
            "queued_at": row["queued_at"] if queued_at is None else time_text(queued_at),
        },
        data={"waiting_for": waiting_for, "interruptions": interruptions},
    )


def _fail_unreadable(connection: sqlite3.Connection, run_id: str, error: StoreError, now: datetime) -> None:
    _log.error("%s The run was marked failed so that it does not block the queue.", error)
    what = failure(FailureCode.INTERNAL_ERROR, error.message)
    change_status(
        connection,
        run_id,
        RunStatus.IN_PROGRESS,
        RunStatus.FAILED,
        "run.failed",
        at=now,
        fields={"failure": json_text(what), "completed_at": time_text(now)},
        data={"failure": what.code.value},
    )
