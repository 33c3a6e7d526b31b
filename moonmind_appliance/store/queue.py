"""The queue: which shard works on which run, and how long a claim lasts without a heartbeat."""

import sqlite3
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import (
    LONGEST_PAUSE,
    FailureCode,
    PhaseStatus,
    Run,
    RunStatus,
    WaitingFor,
    WaitReason,
    failure,
)
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.drain import DRAINED_AT
from moonmind_appliance.store.events import record, record_for_runs
from moonmind_appliance.store.redacting import RedactingConnection
from moonmind_appliance.store.rows import json_text, readable_time, time_text
from moonmind_appliance.store.run_changes import cancel, change_status, claimed_row, waiting_columns, whole_run


class QueueGroup(NamedTuple):
    """The queued runs with one pin: their number, how many do not wait for a time, and how many do not wait at all."""

    pin: int | None
    runs: int
    due: int
    ready: int


class RunQueue:
    """Claims queued runs, renews the claims, and returns runs to the queue.

    A run in progress belongs to one claim, named by its lease.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, shard: int, lease: str, *, now: datetime, lease_seconds: int) -> Run | None:
        """Claim a queued run for this shard: the first in the queue of the user with the fewest runs in progress.

        Skips runs that are pinned to another shard or wait for a later time. A paused shard claims none, and
        while the appliance is drained no shard does. A run whose row cannot be read is marked failed, and the next one
        is claimed. Two claims never take the same run, even from different threads or processes.

        Args:
            shard: the shard that will execute it.
            lease: a new name for this claim.
            now: the time to compare waiting times with.
            lease_seconds: how long the claim is valid without a heartbeat.
        """
        values = {"shard": shard, "drained_at": DRAINED_AT, **_times(now)}
        with self._database.write() as connection:
            while True:
                first = connection.execute(_FIRST, values).fetchone()
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
        """When the run's claim expires without another heartbeat (UTC); None if it is not claimed, or damaged."""
        with self._database.read() as connection:
            row = connection.execute("SELECT lease_until FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            return None if row is None else readable_time(row[0])

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
        """Requeue a run whose claim was abandoned. A run whose cancel was requested becomes `cancelled`.

        The phase that was executed then is no longer `running`: it will be repeated, or failed with the cancel.

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
            which = "run_id = :run_id AND waiting_for IS NOT :waiting_for"
            _set_waiting(connection, which, waiting_for, {"run_id": run_id})

    def groups(self, now: datetime) -> list[QueueGroup]:
        """The queued runs, counted by the shard that they are pinned to."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"""
                SELECT shard_pin, count(*), count(*) FILTER (WHERE {_DUE}), count(*) FILTER (WHERE waiting_for IS NULL)
                FROM runs WHERE status = 'queued' GROUP BY shard_pin
                """,  # noqa: S608 - fixed clauses
                _times(now),
            )
            return [QueueGroup(*row) for row in rows]

    def retry_times(self, now: datetime) -> list[tuple[int, datetime]]:
        """The later times that queued runs wait for, each once, with the shard to wake: the pinned or the last one."""
        with self._database.read() as connection:
            rows = connection.execute(
                """
                SELECT DISTINCT coalesce(shard_pin, shard, 0), waiting_until FROM runs
                WHERE status = 'queued' AND waiting_until > :now
                """,
                {"now": time_text(now)},
            )
            # A damaged time must not prevent the start of the others.
            return [(shard, until) for shard, text in rows if (until := readable_time(text)) is not None]

    def wait_by_pin(
        self,
        reasons: Mapping[int | None, WaitingFor | None],
        *,
        ended: Collection[WaitReason],
        ended_without_time: Collection[WaitReason],
        ended_in_time: Collection[WaitReason],
        now: datetime,
    ) -> None:
        """Set what the queued runs of each pin wait for, and write the event of each change; one transaction.

        Args:
            reasons: what to wait for, by pin. None clears the reasons in `ended`, those in `ended_without_time` of
                runs that wait for no time, and those in `ended_in_time` of runs whose time is over; other reasons are
                not changed.
            ended: see `reasons`.
            ended_without_time: see `reasons`.
            ended_in_time: see `reasons`.
            now: the time to compare waiting times with.
        """
        values = {
            "ended": json_text([reason.value for reason in ended]),
            "ended_without_time": json_text([reason.value for reason in ended_without_time]),
            "ended_in_time": json_text([reason.value for reason in ended_in_time]),
            "now": time_text(now),
        }
        with self._database.write() as connection:
            for pin, waiting_for in reasons.items():
                which = _ENDED if waiting_for is None else "waiting_for IS NOT :waiting_for"
                _set_waiting(connection, f"shard_pin IS :pin AND {which}", waiting_for, {**values, "pin": pin})

    def wait_for_machine(self, waiting_for: WaitingFor) -> None:
        """Set what all queued runs wait for, except runs that wait for the same reason already."""
        with self._database.write() as connection:
            _set_waiting(connection, f"{REASON} IS NOT :reason", waiting_for, {"reason": waiting_for.reason.value})


# NULL for a run that waits for nothing, and for a column that is not JSON.
REASON = "CASE WHEN json_valid(waiting_for) THEN json_extract(waiting_for, '$.reason') END"
_ENDED = (
    f"({REASON} IN (SELECT value FROM json_each(:ended))"  # noqa: S608 - fixed clauses
    f" OR waiting_until IS NULL AND {REASON} IN (SELECT value FROM json_each(:ended_without_time))"
    f" OR waiting_until <= :now AND {REASON} IN (SELECT value FROM json_each(:ended_in_time)))"
)

# Without a time, with one that is over, or with one so far ahead that the clock was set back since.
_DUE = f"""
    (waiting_until IS NULL OR waiting_until <= :now
        OR waiting_until > (SELECT value FROM json_each(:too_late) WHERE key = {REASON}))
"""  # noqa: S608 - fixed clauses

_FIRST = f"""
    SELECT waiting.run_id, waiting.started_at FROM runs AS waiting
    LEFT JOIN (
        SELECT subject, count(*) AS runs FROM runs WHERE status = 'in_progress' GROUP BY subject
    ) AS busy ON busy.subject = waiting.subject
    WHERE waiting.status = 'queued'
        AND (waiting.shard_pin IS NULL OR waiting.shard_pin = :shard)
        AND {_DUE}
        AND NOT EXISTS (
            SELECT 1 FROM shards WHERE shard = :shard AND json_extract(state, '$.paused_at') IS NOT NULL
        )
        AND NOT EXISTS (SELECT 1 FROM appliance WHERE key = :drained_at)
    ORDER BY coalesce(busy.runs, 0), coalesce(waiting.queued_at, waiting.accepted_at), waiting.run_id
    LIMIT 1
"""  # noqa: S608 - fixed clauses


def _times(now: datetime) -> dict[str, object]:
    """The times that `_DUE` compares with."""
    too_late = {reason.value: time_text(now + longest) for reason, longest in LONGEST_PAUSE.items()}
    return {"now": time_text(now), "too_late": json_text(too_late)}


def _set_waiting(
    connection: RedactingConnection, which: str, waiting_for: WaitingFor | None, values: Mapping[str, object]
) -> None:
    """Set what the queued runs that match `which` wait for. The events come first: they select the same runs."""
    kind = "run.ready" if waiting_for is None else "run.waiting"
    data = {"status": RunStatus.QUEUED.value, "waiting_for": waiting_for}
    columns = {**values, **waiting_columns(waiting_for)}
    if record_for_runs(connection, kind, f"status = 'queued' AND {which}", columns, data=data):
        connection.execute(
            f"""
            UPDATE runs SET waiting_for = :waiting_for, waiting_until = :waiting_until
            WHERE status = 'queued' AND {which}
            """,  # noqa: S608 - fixed clauses
            columns,
        )


def _requeue(
    connection: RedactingConnection,
    row: sqlite3.Row,
    *,
    waiting_for: WaitingFor | None,
    interrupted: bool,
    queued_at: datetime | None = None,
) -> None:
    run_id, interruptions = row["run_id"], row["interruptions"] + interrupted
    _stop_phases(connection, row)
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


def _stop_phases(connection: RedactingConnection, row: sqlite3.Row) -> None:
    """Record that phases stopped whose end no worker could save."""
    now, cancelled = datetime.now(UTC), row["cancel_requested_at"] is not None
    status, reason = (PhaseStatus.FAILED, "cancelled") if cancelled else (PhaseStatus.RETRYING, "interrupted")
    stopped = connection.execute(
        """
        UPDATE phases SET status = :status, completed_at = iif(:cancelled, :now, completed_at),
            metadata = iif(:cancelled, :error, metadata)
        WHERE run_id = :run_id AND status = 'running' RETURNING phase, attempt
        """,
        {
            "status": status.value,
            "cancelled": cancelled,
            "now": time_text(now),
            "error": json_text({"error": reason}),
            "run_id": row["run_id"],
        },
    ).fetchall()
    for phase in stopped:
        data = {"phase": phase["phase"], "status": status.value, "attempt": phase["attempt"], "reason": reason}
        record(connection, f"phase.{status.value}", at=now, run_id=row["run_id"], shard=row["shard"], data=data)


def _fail_unreadable(connection: RedactingConnection, run_id: str, error: StoreError, now: datetime) -> None:
    """Fail the run so that it does not block the queue."""
    what = failure(FailureCode.INTERNAL_ERROR, error.message)
    change_status(
        connection,
        run_id,
        RunStatus.IN_PROGRESS,
        RunStatus.FAILED,
        "run.failed",
        at=now,
        fields={"failure": json_text(what), "completed_at": time_text(now)},
        data={"failure": what.code.value, "summary": what.message},
    )
