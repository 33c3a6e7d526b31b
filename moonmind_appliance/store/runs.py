"""Runs as their submitters see them: submitted once per idempotency key, read, cancelled, retried.

Every change of a stored run's status goes through `run_changes.change_status`, which checks `RUN_MOVES` and writes the
event in the same transaction. `progress.py` checks the phases against `PHASE_MOVES`.
"""

import sqlite3
from collections.abc import Callable
from datetime import datetime

import msgspec

from moonmind_appliance.errors import Conflict, StoreError
from moonmind_appliance.models import FINAL_RUN_STATUSES, PHASE_ORDER, Phase, Run, RunStatus, WaitingFor, may_move_run
from moonmind_appliance.store.admission import Admission, SubmissionLimits
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.events import record
from moonmind_appliance.store.redacting import Verbatim
from moonmind_appliance.store.rows import json_text, time_text, to_run
from moonmind_appliance.store.run_changes import (
    cancel,
    change_status,
    existing_run,
    specification_removed,
    waiting_columns,
    whole_run,
)

# One statement for nine rows: each step of a statement gives up the interpreter's lock.
_PHASES = Verbatim(msgspec.json.encode([name.value for name in PHASE_ORDER]).decode())


class RunStore:
    """Runs with their phases.

    A row that cannot be read does not affect others: `get` and the verbs on that run raise a `StoreError`, lists omit
    and log it, a claim fails it and takes the next.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._admission = Admission()

    def insert(
        self,
        run: Run,
        *,
        idempotency: tuple[str, str] | None = None,
        limits: SubmissionLimits | None = None,
        why_waits: Callable[[], WaitingFor | None] | None = None,
    ) -> Run:
        """Store a new run with its nine pending phases. Once this returns, the run survives a crash.

        Args:
            run: in `queued`, perhaps with a `waiting_for`; its `phases` are ignored.
            idempotency: the caller's key, already scoped to the subject, and a digest of the body. The same key and
                digest return the first run.
            limits: refuse the run if it exceeds one of these; a repeat is not counted.
            why_waits: what a new run waits for. Called in the transaction, so that no other change comes between; its
                reads are part of it.

        Raises:
            Conflict: `idempotency_key_reused`, the key was used with another body.
            TooMany: a limit is exceeded.
            StoreError: the id exists, the run is not queued, or the database cannot be used.
        """
        if run.status is not RunStatus.QUEUED:
            raise StoreError(f"Run {run.run_id} cannot start as {run.status.value}.")
        with self._database.write() as connection:
            if idempotency is not None:
                key, digest = idempotency
                first = connection.execute(
                    "SELECT digest, run_id FROM idempotency_keys WHERE key = ?", (key,)
                ).fetchone()
                if first is not None:
                    if first["digest"] != digest:
                        raise Conflict(
                            "This Idempotency-Key was used with a different body.",
                            hint="Use a new key for a new request.",
                            code="idempotency_key_reused",
                        )
                    return existing_run(connection, first["run_id"])
            if limits is not None:
                self._admission.check(connection, limits, run.created_by.subject, run.accepted_at)
            if why_waits is not None:
                run = msgspec.structs.replace(run, waiting_for=why_waits())
            row = insert_rows(connection, run)
            if idempotency is not None:
                connection.execute("INSERT INTO idempotency_keys VALUES (?, ?, ?)", (*idempotency, run.run_id))
            record(
                connection,
                "run.queued",
                at=run.accepted_at,
                run_id=run.run_id,
                data={"status": RunStatus.QUEUED.value, "repository": run.repository},
            )
            if run.waiting_for is not None:
                waiting = {"status": RunStatus.QUEUED.value, "waiting_for": run.waiting_for}
                record(connection, "run.waiting", at=run.accepted_at, run_id=run.run_id, data=waiting)
        # As stored, without another query.
        stored = to_run(row, specify_text=run.specify_text)
        return msgspec.structs.replace(stored, phases=[Phase(phase=name) for name in PHASE_ORDER])

    def get(self, run_id: str, *, text: bool = True) -> Run | None:
        """The run with its phases in order. Without `text` its `specify_text` is not read and empty.

        Raises:
            StoreError: the row cannot be read.
        """
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if row is None:
                return None
            return whole_run(connection, row, text=text)

    def specification(self, run_id: str) -> str:
        """The specification text.

        Raises:
            NotFound: no such run.
            Conflict: `specification_removed`, retention removed it.
            UnreadableRow: the run cannot be read.
        """
        with self._database.read() as connection:
            text = existing_run(connection, run_id).specify_text
        if not text:
            raise specification_removed(run_id)
        return text

    def has_specification(self, run_id: str) -> bool:
        """Whether the run's specification text is stored. Does not read it."""
        with self._database.read() as connection:
            found = connection.execute("SELECT 1 FROM specifications WHERE run_id = ?", (run_id,)).fetchone()
            return found is not None

    def request_cancel(self, run_id: str, *, now: datetime) -> Run:
        """Cancel a queued run at once; request it from the claim of a run in progress. Idempotent.

        Raises:
            NotFound: no such run.
            Conflict: the run is final.
        """
        with self._database.write() as connection:
            run = existing_run(connection, run_id)
            if run.status is RunStatus.QUEUED:
                cancel(connection, run_id, run.status, now)
            elif run.status is RunStatus.IN_PROGRESS:
                if run.cancel_requested_at is None:
                    connection.execute(
                        "UPDATE runs SET cancel_requested_at = ? WHERE run_id = ?", (time_text(now), run_id)
                    )
                    record(
                        connection,
                        "run.cancel_requested",
                        at=now,
                        run_id=run_id,
                        shard=run.shard,
                        data={"status": run.status.value},
                    )
            else:
                raise Conflict(
                    f"Run {run_id} has ended ({run.status.value}).",
                    code="run_final",
                    hint="There is nothing to cancel.",
                )
            return existing_run(connection, run_id)

    def retry(self, run_id: str, *, now: datetime, limits: SubmissionLimits | None = None) -> Run:
        """Queue a failed or cancelled run again; its phases and artifacts are kept.

        Raises:
            NotFound: no such run.
            Conflict: the run is neither failed nor cancelled, or its specification text was removed.
            TooMany: too many runs are queued, in total or of the run's submitter.
        """
        with self._database.write() as connection:
            run = existing_run(connection, run_id)
            if run.status not in FINAL_RUN_STATUSES or not may_move_run(run.status, RunStatus.QUEUED):
                raise Conflict(
                    f"Run {run_id} is {run.status.value}.",
                    code="run_not_retryable",
                    hint="Only failed and cancelled runs can be retried.",
                )
            if not run.specify_text:
                raise specification_removed(run_id)
            if limits is not None:
                self._admission.check(connection, limits, run.created_by.subject, now, is_new=False)
            change_status(
                connection,
                run_id,
                run.status,
                RunStatus.QUEUED,
                "run.retried",
                at=now,
                fields={
                    "failure": None,
                    "result_summary": None,
                    "completed_at": None,
                    "cancel_requested_at": None,
                    "interruptions": 0,
                },
                data={"was": run.status.value},
            )
            connection.execute("UPDATE artifacts SET expires_at = NULL WHERE run_id = ?", (run_id,))
            return existing_run(connection, run_id)

    def counts(self) -> dict[RunStatus, int]:
        """The number of runs in each status; contains every status. A damaged status is not counted."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall()
        found = dict.fromkeys(RunStatus, 0)
        return found | {RunStatus(status): count for status, count in rows if status in frozenset(RunStatus)}


def insert_rows(connection: sqlite3.Connection, run: Run) -> sqlite3.Row:
    """Insert a queued run, its text and its nine pending phases; no event. Returns the row of `runs`."""
    row: sqlite3.Row = connection.execute(
        """
        INSERT INTO runs (run_id, repository, accepted_at, subject, username, created_by, base_branch, dry_run,
            external_ref, shard_pin, status, waiting_for, waiting_until, clarifications)
        VALUES (:run_id, :repository, :accepted_at, :subject, :username, :created_by, :base_branch, :dry_run,
            :external_ref, :shard_pin, 'queued', :waiting_for, :waiting_until, :clarifications)
        RETURNING *
        """,
        {
            "run_id": Verbatim(run.run_id),
            "repository": Verbatim(run.repository),
            "accepted_at": Verbatim(time_text(run.accepted_at)),
            "subject": Verbatim(run.created_by.subject),
            "username": Verbatim(run.created_by.username),
            "created_by": Verbatim(json_text(run.created_by)),
            "base_branch": Verbatim(run.base_branch),
            "dry_run": run.dry_run,
            "external_ref": run.external_ref,
            "shard_pin": run.shard_pin,
            "clarifications": json_text(run.clarifications),
            **waiting_columns(run.waiting_for),
        },
    ).fetchone()
    connection.execute("INSERT INTO specifications VALUES (?, ?)", (Verbatim(run.run_id), Verbatim(run.specify_text)))
    connection.execute(
        "INSERT INTO phases (run_id, position, phase, status) SELECT ?, key, value, 'pending' FROM json_each(?)",
        (Verbatim(run.run_id), _PHASES),
    )
    return row
