"""The runs table, which decides the state of every job.

Every change of state is checked against the transitions that `models` allows, and writes its event in the same
transaction.
"""

import logging
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from moonmind_appliance.errors import Conflict, LeaseLost, NotFound, StoreError
from moonmind_appliance.models import (
    FINAL_RUN_STATUSES,
    PHASE_ORDER,
    AgentInfo,
    Failure,
    FailureCode,
    Phase,
    PhaseStatus,
    Run,
    RunStatus,
    WaitingFor,
    failure,
    may_move_phase,
    may_move_run,
)
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.events import record
from moonmind_appliance.store.redacting import Verbatim
from moonmind_appliance.store.rows import json_or_none, json_text, time_or_none, time_text, to_run

_log = logging.getLogger(__name__)


class RunStore:
    """Runs with their phases.

    A run in progress belongs to one claim, named by its lease: every write to it requires that lease.
    A row that cannot be read does not affect others: `get` and the verbs on that run raise a `StoreError`, lists omit
    and log it, `claim` fails it and takes the next.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, run: Run, *, idempotency: tuple[str, str] | None = None) -> Run:
        """Store a new run with its nine pending phases. Once this returns, the run survives a crash.

        Args:
            run: in `queued`; its `phases` are ignored.
            idempotency: the caller's key, already scoped to the subject, and a digest of the body. The same key and
                digest return the first run.

        Raises:
            Conflict: `idempotency_key_reused`, the key was used with another body.
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
                    return _read(connection, first["run_id"])
            _insert_rows(connection, run)
            if idempotency is not None:
                connection.execute("INSERT INTO idempotency_keys VALUES (?, ?, ?)", (*idempotency, run.run_id))
            _tell(connection, "run.queued", run.run_id, RunStatus.QUEUED, at=run.accepted_at)
            return _read(connection, run.run_id)

    def get(self, run_id: str, *, text: bool = True) -> Run | None:
        """The run with its phases in order. Without `text` its `specify_text` is not read and empty.

        Raises:
            StoreError: the row cannot be read.
        """
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if row is None:
                return None
            return _whole(connection, row) if text else to_run(row, _phase_rows(connection, run_id))

    def specification(self, run_id: str) -> str:
        """The specification text alone.

        Raises:
            StoreError: the run has none.
        """
        with self._database.read() as connection:
            return _specification(connection, run_id)

    def claim(
        self,
        shard: int,
        lease: str,
        *,
        now: datetime,
        lease_seconds: int,
        began_on: Collection[int] | None = None,
    ) -> Run | None:
        """Claim a queued run for this shard: the first in the queue of the user with the fewest runs in progress.

        Skips runs that are pinned to another shard or wait for a later time. A paused shard claims none. Two claims
        never take the same run, even from different threads or processes.

        Args:
            shard: the shard that will execute it.
            lease: a new name for this claim.
            now: the time to compare waiting times with.
            lease_seconds: how long the claim is valid without a heartbeat.
            began_on: when given, a run that began before is taken only if it began on one of these shards (those of
                the same engine, where its volume is).
        """
        values = {
            "shard": shard,
            "lease": lease,
            "now": time_text(now),
            "lease_until": time_text(now + timedelta(seconds=lease_seconds)),
            "began_on": json_or_none(None if began_on is None else sorted(began_on)),
        }
        with self._database.write() as connection:
            while True:
                row = connection.execute(_CLAIM, values).fetchone()
                if row is None:
                    return None
                try:
                    run = _whole(connection, row)
                except StoreError as error:
                    _fail_unreadable(connection, row["run_id"], error, now)
                    continue
                _tell(connection, "run.claimed", run.run_id, RunStatus.IN_PROGRESS, at=now, shard=shard)
                return run

    def heartbeat(self, run_id: str, lease: str, *, now: datetime, lease_seconds: int) -> bool:
        """Renew the claim.

        Returns:
            True when a cancel was requested.

        Raises:
            LeaseLost: the claim is over.
        """
        with self._database.write() as connection:
            _own(connection, run_id, lease)
            row = connection.execute(
                "UPDATE runs SET lease_until = ? WHERE run_id = ? RETURNING cancel_requested_at",
                (time_text(now + timedelta(seconds=lease_seconds)), run_id),
            ).fetchone()
            return row["cancel_requested_at"] is not None

    def save_phase(self, run_id: str, lease: str, phase: Phase) -> None:
        """Store a phase's state. An unchanged status is not a transition; the other fields are replaced.

        Raises:
            LeaseLost: the claim is over.
            StoreError: `PHASE_MOVES` does not allow the transition.
        """
        position = PHASE_ORDER.index(phase.phase)
        with self._database.write() as connection:
            shard = _own(connection, run_id, lease)["shard"]
            row = connection.execute(
                "SELECT status FROM phases WHERE run_id = ? AND position = ?", (run_id, position)
            ).fetchone()
            current = PhaseStatus(row["status"])
            if current is not phase.status and not may_move_phase(current, phase.status):
                raise StoreError(
                    f"Run {run_id}: phase {phase.phase.value} cannot change from {current.value} to "
                    f"{phase.status.value}."
                )
            connection.execute(
                """
                UPDATE phases SET status = ?, attempt = ?, started_at = ?, completed_at = ?, stdout_path = ?,
                    stderr_path = ?, metadata = ?
                WHERE run_id = ? AND position = ?
                """,
                (
                    phase.status.value,
                    phase.attempt,
                    time_or_none(phase.started_at),
                    time_or_none(phase.completed_at),
                    phase.stdout_path,
                    phase.stderr_path,
                    json_text(phase.metadata),
                    run_id,
                    position,
                ),
            )
            if current is not phase.status:
                record(
                    connection,
                    f"phase.{phase.status.value}",
                    run_id=run_id,
                    shard=shard,
                    data={
                        "phase": phase.phase.value,
                        "status": phase.status.value,
                        "attempt": phase.attempt,
                    },
                )

    def note(
        self,
        run_id: str,
        lease: str,
        *,
        branch_name: str | msgspec.UnsetType | None = msgspec.UNSET,
        pull_request_url: str | msgspec.UnsetType | None = msgspec.UNSET,
        clarifications: Collection[str] | msgspec.UnsetType = msgspec.UNSET,
        agent: AgentInfo | msgspec.UnsetType | None = msgspec.UNSET,
        result_summary: str | msgspec.UnsetType | None = msgspec.UNSET,
    ) -> None:
        """Update fields of a run in progress; fields that are not given do not change.

        Raises:
            LeaseLost: the claim is over.
        """
        texts = {
            "branch_name": branch_name,
            "pull_request_url": pull_request_url,
            "result_summary": result_summary,
        }
        given = {name: value for name, value in texts.items() if value is not msgspec.UNSET}
        if clarifications is not msgspec.UNSET:
            given["clarifications"] = json_text(list(clarifications))
        if agent is not msgspec.UNSET:
            given["agent"] = json_or_none(agent)
        with self._database.write() as connection:
            shard = _own(connection, run_id, lease)["shard"]
            if not given:
                return
            changes = ", ".join(f"{name} = :{name}" for name in given)
            connection.execute(
                f"UPDATE runs SET {changes} WHERE run_id = :run_id",  # noqa: S608 - fixed column names
                {**given, "run_id": run_id},
            )
            record(connection, "run.noted", run_id=run_id, shard=shard, data={"fields": sorted(given)})

    def finish(
        self,
        run_id: str,
        lease: str,
        status: RunStatus,
        *,
        now: datetime,
        result_summary: str | None,
        failure: Failure | None,
    ) -> None:
        """End a run in progress; its claim ends with it.

        Raises:
            LeaseLost: the claim is over.
            StoreError: the status is not a final one.
        """
        if status not in FINAL_RUN_STATUSES:
            raise StoreError(f"Run {run_id} cannot end as {status.value}.")
        with self._database.write() as connection:
            shard = _own(connection, run_id, lease)["shard"]
            connection.execute(
                """
                UPDATE runs SET status = ?, completed_at = ?, result_summary = ?, failure = ?, lease = NULL,
                    lease_until = NULL, waiting_for = NULL, waiting_until = NULL
                WHERE run_id = ?
                """,
                (status.value, time_text(now), result_summary, json_or_none(failure), run_id),
            )
            more = {} if failure is None else {"failure": failure.code.value}
            _tell(connection, f"run.{status.value}", run_id, status, at=now, shard=shard, **more)

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
            row = _own(connection, run_id, lease)
            _requeue(connection, row, waiting_for=waiting_for, interrupted=interrupted)
            if queued_at is not None:
                connection.execute("UPDATE runs SET queued_at = ? WHERE run_id = ?", (time_text(queued_at), run_id))

    def wait(self, run_id: str, waiting_for: WaitingFor | None) -> None:
        """Set what a queued run waits for (None: only its turn). No effect on a run that is not queued."""
        with self._database.write() as connection:
            changed = connection.execute(
                """
                UPDATE runs SET waiting_for = :what, waiting_until = :until
                WHERE run_id = :run_id AND status = 'queued' AND waiting_for IS NOT :what
                """,
                {**_waiting(waiting_for), "run_id": run_id},
            ).rowcount
            if changed:
                kind = "run.ready" if waiting_for is None else "run.waiting"
                _tell(connection, kind, run_id, RunStatus.QUEUED, waiting_for=waiting_for)

    def request_cancel(self, run_id: str, *, now: datetime) -> Run:
        """Cancel a queued run at once; request it from the claim of a run in progress. Idempotent.

        Raises:
            NotFound: no such run.
            Conflict: the run is final.
        """
        with self._database.write() as connection:
            run = _read(connection, run_id)
            if run.status is RunStatus.QUEUED:
                _cancel(connection, run_id, now)
            elif run.status is RunStatus.IN_PROGRESS:
                if run.cancel_requested_at is None:
                    connection.execute(
                        "UPDATE runs SET cancel_requested_at = ? WHERE run_id = ?", (time_text(now), run_id)
                    )
                    _tell(connection, "run.cancel_requested", run_id, run.status, at=now, shard=run.shard)
            else:
                raise Conflict(
                    f"Run {run_id} has ended ({run.status.value}).",
                    code="run_final",
                    hint="There is nothing to cancel.",
                )
            return _read(connection, run_id)

    def retry(self, run_id: str, *, now: datetime) -> Run:
        """Queue a failed or cancelled run again; its phases and artifacts are kept.

        Raises:
            NotFound: no such run.
            Conflict: the run is neither failed nor cancelled.
        """
        with self._database.write() as connection:
            run = _read(connection, run_id)
            if run.status not in FINAL_RUN_STATUSES or not may_move_run(run.status, RunStatus.QUEUED):
                raise Conflict(
                    f"Run {run_id} is {run.status.value}.",
                    code="run_not_retryable",
                    hint="Only failed and cancelled runs can be retried.",
                )
            connection.execute(
                """
                UPDATE runs SET status = 'queued', failure = NULL, result_summary = NULL, completed_at = NULL,
                    cancel_requested_at = NULL, interruptions = 0, waiting_for = NULL, waiting_until = NULL
                WHERE run_id = ?
                """,
                (run_id,),
            )
            connection.execute("UPDATE artifacts SET expires_at = NULL WHERE run_id = ?", (run_id,))
            _tell(connection, "run.retried", run_id, RunStatus.QUEUED, at=now, was=run.status.value)
            return _read(connection, run_id)

    def in_progress(self) -> list[Run]:
        """All runs in progress, oldest first, without their texts."""
        return self._open(RunStatus.IN_PROGRESS)

    def queued(self) -> list[Run]:
        """All queued runs, oldest first, without their texts."""
        return self._open(RunStatus.QUEUED)

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

    def lease_until(self, run_id: str) -> datetime | None:
        """When the run's claim expires without another heartbeat (UTC); None if it is not claimed."""
        with self._database.read() as connection:
            row = connection.execute("SELECT lease_until FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            return None if row is None or row[0] is None else datetime.fromisoformat(row[0])

    def counts(self) -> dict[RunStatus, int]:
        """The number of runs in each status; contains every status."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall()
        return dict.fromkeys(RunStatus, 0) | {RunStatus(status): count for status, count in rows}

    def _open(self, status: RunStatus) -> list[Run]:
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT * FROM runs WHERE status = ? ORDER BY accepted_at, run_id", (status.value,)
            ).fetchall()
            phases: defaultdict[str, list[sqlite3.Row]] = defaultdict(list)
            for phase in connection.execute(
                """
                SELECT phases.* FROM phases JOIN runs USING (run_id) WHERE runs.status = ?
                ORDER BY phases.run_id, position
                """,
                (status.value,),
            ):
                phases[phase["run_id"]].append(phase)
        return _readable(rows, phases)


_CLAIM = """
    UPDATE runs SET
        status = 'in_progress', shard = :shard, lease = :lease, lease_until = :lease_until,
        started_at = coalesce(started_at, :now), waiting_for = NULL, waiting_until = NULL
    WHERE status = 'queued' AND run_id = (
        SELECT waiting.run_id FROM runs AS waiting
        LEFT JOIN (
            SELECT subject, count(*) AS runs FROM runs WHERE status = 'in_progress' GROUP BY subject
        ) AS busy ON busy.subject = waiting.subject
        WHERE waiting.status = 'queued'
            AND (waiting.shard_pin IS NULL OR waiting.shard_pin = :shard)
            AND (waiting.waiting_until IS NULL OR waiting.waiting_until <= :now)
            AND NOT EXISTS (
                SELECT 1 FROM shards WHERE shard = :shard AND json_extract(state, '$.paused_at') IS NOT NULL
            )
            AND (:began_on IS NULL OR waiting.shard IS NULL
                OR waiting.shard IN (SELECT value FROM json_each(:began_on)))
        ORDER BY coalesce(busy.runs, 0), coalesce(waiting.queued_at, waiting.accepted_at), waiting.run_id
        LIMIT 1
    )
    RETURNING *
"""


def _insert_rows(connection: sqlite3.Connection, run: Run) -> None:
    waiting = _waiting(run.waiting_for)
    connection.execute(
        """
        INSERT INTO runs (run_id, repository, accepted_at, subject, username, created_by, base_branch, dry_run,
            external_ref, shard_pin, status, waiting_for, waiting_until, clarifications)
        VALUES (:run_id, :repository, :accepted_at, :subject, :username, :created_by, :base_branch, :dry_run,
            :external_ref, :shard_pin, 'queued', :what, :until, :clarifications)
        """,
        {
            "run_id": run.run_id,
            "repository": run.repository,
            "accepted_at": time_text(run.accepted_at),
            "subject": Verbatim(run.created_by.subject),
            "username": Verbatim(run.created_by.username),
            "created_by": Verbatim(json_text(run.created_by)),
            "base_branch": run.base_branch,
            "dry_run": run.dry_run,
            "external_ref": run.external_ref,
            "shard_pin": run.shard_pin,
            "clarifications": json_text(run.clarifications),
            **waiting,
        },
    )
    connection.execute("INSERT INTO specifications VALUES (?, ?)", (run.run_id, Verbatim(run.specify_text)))
    connection.executemany(
        "INSERT INTO phases (run_id, position, phase, status) VALUES (?, ?, ?, 'pending')",
        [(run.run_id, position, name.value) for position, name in enumerate(PHASE_ORDER)],
    )


def _read(connection: sqlite3.Connection, run_id: str) -> Run:
    row = connection.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        raise NotFound(f"Run {run_id} does not exist.", code="run_not_found")
    return _whole(connection, row)


def _whole(connection: sqlite3.Connection, row: sqlite3.Row) -> Run:
    """The run with its phases and its specification text."""
    run_id = row["run_id"]
    return to_run(row, _phase_rows(connection, run_id), specify_text=_specification(connection, run_id))


def _specification(connection: sqlite3.Connection, run_id: str) -> str:
    row = connection.execute("SELECT text FROM specifications WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        raise StoreError(
            f"Run {run_id}: its specification text is missing.",
            hint="The database was changed manually; restore a copy from the backups folder.",
        )
    return str(row["text"])


def _phase_rows(connection: sqlite3.Connection, run_id: str) -> list[sqlite3.Row]:
    return connection.execute("SELECT * FROM phases WHERE run_id = ? ORDER BY position", (run_id,)).fetchall()


def _readable(rows: Iterable[sqlite3.Row], phases: Mapping[str, Iterable[sqlite3.Row]]) -> list[Run]:
    runs: list[Run] = []
    for row in rows:
        try:
            runs.append(to_run(row, phases.get(row["run_id"], ())))
        except StoreError as error:
            _log.error("%s", error)
    return runs


def _own(connection: sqlite3.Connection, run_id: str, lease: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute(
        "SELECT run_id, shard, interruptions, cancel_requested_at FROM runs"
        " WHERE run_id = ? AND lease = ? AND status = 'in_progress'",
        (run_id, lease),
    ).fetchone()
    if row is None:
        raise LeaseLost(f"Run {run_id} no longer belongs to this claim.")
    return row


def _requeue(
    connection: sqlite3.Connection, row: sqlite3.Row, *, waiting_for: WaitingFor | None, interrupted: bool
) -> None:
    run_id = row["run_id"]
    connection.execute(
        """
        UPDATE runs SET status = 'queued', lease = NULL, lease_until = NULL, waiting_for = :what,
            waiting_until = :until, interruptions = interruptions + :interrupted
        WHERE run_id = :run_id
        """,
        {**_waiting(waiting_for), "interrupted": interrupted, "run_id": run_id},
    )
    if row["cancel_requested_at"] is not None:
        _cancel(connection, run_id, datetime.now(UTC))
        return
    _tell(
        connection,
        "run.requeued" if waiting_for is None else "run.waiting",
        run_id,
        RunStatus.QUEUED,
        shard=row["shard"],
        waiting_for=waiting_for,
        interruptions=row["interruptions"] + interrupted,
    )


def _cancel(connection: sqlite3.Connection, run_id: str, now: datetime) -> None:
    connection.execute(
        """
        UPDATE runs SET status = 'cancelled', completed_at = :now, waiting_for = NULL, waiting_until = NULL,
            cancel_requested_at = coalesce(cancel_requested_at, :now)
        WHERE run_id = :run_id
        """,
        {"now": time_text(now), "run_id": run_id},
    )
    _tell(connection, "run.cancelled", run_id, RunStatus.CANCELLED, at=now)


def _fail_unreadable(connection: sqlite3.Connection, run_id: str, error: StoreError, now: datetime) -> None:
    _log.error("%s The run was marked failed so that it does not block the queue.", error)
    what = failure(FailureCode.INTERNAL_ERROR, error.message)
    connection.execute(
        """
        UPDATE runs SET status = 'failed', lease = NULL, lease_until = NULL, failure = ?, completed_at = ?
        WHERE run_id = ?
        """,
        (json_text(what), time_text(now), run_id),
    )
    _tell(connection, "run.failed", run_id, RunStatus.FAILED, at=now, failure=what.code.value)


def _waiting(waiting_for: WaitingFor | None) -> dict[str, str | None]:
    until = None if waiting_for is None else waiting_for.until
    return {"what": json_or_none(waiting_for), "until": time_or_none(until)}


def _tell(
    connection: sqlite3.Connection,
    kind: str,
    run_id: str,
    status: RunStatus,
    *,
    at: datetime | None = None,
    shard: int | None = None,
    **more: object,
) -> None:
    record(connection, kind, at=at, run_id=run_id, shard=shard, data={"status": status.value, **more})
