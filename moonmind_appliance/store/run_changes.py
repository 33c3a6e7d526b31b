"""What every write to a run shares: the allowed transitions of its status, the check of its lease, and reading it."""

import sqlite3
from collections.abc import Mapping
from datetime import datetime

from moonmind_appliance.errors import Conflict, LeaseLost, NotFound, StoreError, UnreadableRow
from moonmind_appliance.models import (
    FINAL_RUN_STATUSES,
    Run,
    RunStatus,
    WaitingFor,
    cancelled_summary,
    may_move_run,
)
from moonmind_appliance.store.counters import ENDED, count
from moonmind_appliance.store.events import record
from moonmind_appliance.store.redacting import RedactingConnection
from moonmind_appliance.store.rows import json_or_none, time_or_none, time_text, to_run


def change_status(
    connection: RedactingConnection,
    run_id: str,
    current: RunStatus,
    target: RunStatus,
    event: str,
    *,
    at: datetime | None = None,
    shard: int | None = None,
    fields: Mapping[str, object] | None = None,
    data: Mapping[str, object] | None = None,
) -> sqlite3.Row:
    """Change a run's status and write the event of it; the only way in which a stored run changes its status.

    Clears the claim and what the run waits for, unless `fields` sets them.

    Args:
        connection: in a write transaction, in which `current` was read.
        run_id: an existing run.
        current: its status.
        target: its next status.
        event: the event's kind; its data contain the new status.
        at: the event's time; None: now.
        shard: the event's shard.
        fields: other columns to set, by name.
        data: more data for the event.

    Returns:
        The changed row of `runs`.

    Raises:
        StoreError: `RUN_MOVES` does not allow the transition.
    """
    if not may_move_run(current, target):
        raise StoreError(f"Run {run_id} cannot change from {current.value} to {target.value}.")
    columns = {"lease": None, "lease_until": None, **waiting_columns(None), **(fields or {}), "status": target.value}
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    row: sqlite3.Row = connection.execute(
        f"UPDATE runs SET {changes} WHERE run_id = :run_id RETURNING *",  # noqa: S608 - fixed column names
        {**columns, "run_id": run_id},
    ).fetchone()
    record(connection, event, at=at, run_id=run_id, shard=shard, data={"status": target.value, **(data or {})})
    if target in FINAL_RUN_STATUSES:
        count(connection, ENDED, target.value, str((data or {}).get("failure", "")))
    return row


def cancel(connection: RedactingConnection, run_id: str, current: RunStatus, now: datetime) -> None:
    """Cancel a run that no worker executes; keeps the time of an earlier request."""
    row = connection.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    try:
        summary = cancelled_summary(whole_run(connection, row, text=False))
    except StoreError:
        # A damaged row must not prevent the cancel.
        summary = "The run was cancelled."
    connection.execute(
        "UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, ?) WHERE run_id = ?",
        (time_text(now), run_id),
    )
    ended = {"completed_at": time_text(now), "result_summary": summary}
    change_status(
        connection,
        run_id,
        current,
        RunStatus.CANCELLED,
        "run.cancelled",
        at=now,
        fields=ended,
        data={"summary": summary},
    )


def waiting_columns(waiting_for: WaitingFor | None) -> dict[str, str | None]:
    """The columns that say what a run waits for."""
    until = None if waiting_for is None else waiting_for.until
    return {"waiting_for": json_or_none(waiting_for), "waiting_until": time_or_none(until)}


def claimed_row(connection: sqlite3.Connection, run_id: str, lease: str) -> sqlite3.Row:
    """The row of a run in progress under that lease.

    Raises:
        LeaseLost: the run is not in progress under it.
    """
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM runs WHERE run_id = ? AND lease = ? AND status = 'in_progress'", (run_id, lease)
    ).fetchone()
    if row is None:
        raise LeaseLost(f"Run {run_id} no longer belongs to this claim.")
    return row


def existing_run(connection: sqlite3.Connection, run_id: str) -> Run:
    """The run with its phases and its text.

    Raises:
        NotFound: no such run.
        UnreadableRow: its row cannot be read.
    """
    row = connection.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        raise NotFound(f"Run {run_id} does not exist.", code="run_not_found")
    return whole_run(connection, row)


def whole_run(connection: sqlite3.Connection, row: sqlite3.Row, *, text: bool = True) -> Run:
    """The run of a row of `runs`, with its phases in order. Without `text` its `specify_text` is not read and empty.

    It is also empty if the run has ended and retention removed it.

    Raises:
        UnreadableRow: the row, a phase or the text cannot be read.
    """
    run_id = row["run_id"]
    phases = connection.execute("SELECT * FROM phases WHERE run_id = ? ORDER BY position", (run_id,)).fetchall()
    return to_run(row, phases, specify_text=_text(connection, row) if text else "")


def specification_removed(run_id: str) -> Conflict:
    """The refusal of what needs the text of a run whose text retention removed."""
    return Conflict(
        f"The specification text of run {run_id} was removed after TEXT_RETENTION.",
        hint="Submit the specification as a new run.",
        code="specification_removed",
    )


def _text(connection: sqlite3.Connection, run: sqlite3.Row) -> str:
    row = connection.execute("SELECT text FROM specifications WHERE run_id = ?", (run["run_id"],)).fetchone()
    if row is not None:
        return str(row["text"])
    # Retention removes the text of ended runs only, and a run without its text is never queued again.
    if run["status"] not in {status.value for status in FINAL_RUN_STATUSES}:
        raise UnreadableRow(
            f"Run {run['run_id']}: its specification text is missing.",
            hint="The database was changed manually; restore a copy from the backups folder.",
        )
    return ""
