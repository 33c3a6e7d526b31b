"""The progress of a run, written by the claim that works on it: its phases, its fields and its end."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import msgspec

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import (
    FINAL_RUN_STATUSES,
    PHASE_ORDER,
    AgentInfo,
    Failure,
    Phase,
    PhaseName,
    PhaseStatus,
    RunStatus,
    may_move_phase,
)
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.counters import count_phase
from moonmind_appliance.store.events import record
from moonmind_appliance.store.rows import json_or_none, json_text, time_or_none, time_text
from moonmind_appliance.store.run_changes import cancel, change_status, claimed_row

_NOT_CLEANED = "The Docker engine or GitHub did not respond in time. The containers are removed later."


class RunProgress:
    """Writes to a run in progress. Every write requires the lease of the run's claim."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_phase(
        self,
        run_id: str,
        lease: str,
        phase: Phase,
        *,
        now: datetime | None = None,
        data: Mapping[str, object] | None = None,
        is_progress: bool = False,
    ) -> None:
        """Store a phase's state. An unchanged status is not a transition; the other fields are replaced.

        Args:
            run_id: which run.
            lease: its claim.
            phase: the new state.
            now: the time of the transition; None: the current time. When a phase stops running, its event has the
                seconds since it started.
            data: more data for the event of the transition.
            is_progress: whether to count the run's interruptions from zero again.

        Raises:
            LeaseLost: the claim is over.
            StoreError: `PHASE_MOVES` does not allow the transition.
        """
        position = PHASE_ORDER.index(phase.phase)
        with self._database.write() as connection:
            shard = claimed_row(connection, run_id, lease)["shard"]
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
                    stderr_path = ?, metadata = ?, output = ?
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
                    json_or_none(phase.output),
                    run_id,
                    position,
                ),
            )
            if is_progress:
                connection.execute("UPDATE runs SET interruptions = 0 WHERE run_id = ?", (run_id,))
            if current is not phase.status:
                at, details = now or datetime.now(UTC), dict(data or {})
                if current is PhaseStatus.RUNNING and phase.started_at is not None:
                    details["seconds"] = seconds = _seconds(phase.started_at, phase.completed_at or at)
                    if phase.status is PhaseStatus.SUCCEEDED:
                        count_phase(connection, phase.phase.value, seconds)
                record(
                    connection,
                    f"phase.{phase.status.value}",
                    at=at,
                    run_id=run_id,
                    shard=shard,
                    data={
                        "phase": phase.phase.value,
                        "status": phase.status.value,
                        "attempt": phase.attempt,
                        **details,
                    },
                )

    def update(
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
            shard = claimed_row(connection, run_id, lease)["shard"]
            if not given:
                return
            changes = ", ".join(f"{name} = :{name}" for name in given)
            connection.execute(
                f"UPDATE runs SET {changes} WHERE run_id = :run_id",  # noqa: S608 - fixed column names
                {**given, "run_id": run_id},
            )
            record(connection, "run.noted", run_id=run_id, shard=shard, data={"fields": sorted(given)})

    def settle_cancelled(self, run_id: str, lease: str, *, now: datetime) -> None:
        """Cancel a run in progress whose worker is blocked; the claim ends, so the worker writes nothing more.

        The phase that runs becomes `failed`. `cleanup` becomes `skipped`: a sweep removes the containers later.

        Raises:
            LeaseLost: the claim is over.
        """
        with self._database.write() as connection:
            shard = claimed_row(connection, run_id, lease)["shard"]
            rows = connection.execute(
                """
                UPDATE phases SET completed_at = :now,
                    status = CASE phase WHEN :cleanup THEN 'skipped' ELSE 'failed' END,
                    metadata = CASE phase WHEN :cleanup THEN :skipped ELSE :failed END
                WHERE run_id = :run_id
                    AND (status = 'running' OR phase = :cleanup AND status IN ('pending', 'retrying'))
                RETURNING phase, status, attempt
                """,
                {
                    "run_id": run_id,
                    "now": time_text(now),
                    "cleanup": PhaseName.CLEANUP.value,
                    "skipped": json_text({"reason": _NOT_CLEANED}),
                    "failed": json_text({"error": "cancelled"}),
                },
            ).fetchall()
            for phase, status, attempt in rows:
                reason = _NOT_CLEANED if status == PhaseStatus.SKIPPED else "cancelled"
                data = {"phase": phase, "status": status, "attempt": attempt, "reason": reason}
                record(connection, f"phase.{status}", at=now, run_id=run_id, shard=shard, data=data)
            cancel(connection, run_id, RunStatus.IN_PROGRESS, now)

    def finish(
        self,
        run_id: str,
        lease: str,
        status: RunStatus,
        *,
        now: datetime,
        result_summary: str | None,
        failure: Failure | None,
        phase: PhaseName | None = None,
    ) -> None:
        """End a run in progress; its claim ends with it. `phase` is the one that failed.

        Raises:
            LeaseLost: the claim is over.
            StoreError: the status is not a final one.
        """
        if status not in FINAL_RUN_STATUSES:
            raise StoreError(f"Run {run_id} cannot end as {status.value}.")
        with self._database.write() as connection:
            row = claimed_row(connection, run_id, lease)
            change_status(
                connection,
                run_id,
                RunStatus.IN_PROGRESS,
                status,
                f"run.{status.value}",
                at=now,
                shard=row["shard"],
                fields={
                    "completed_at": time_text(now),
                    "result_summary": result_summary,
                    "failure": json_or_none(failure),
                },
                data={
                    "seconds": _seconds(datetime.fromisoformat(row["started_at"]), now),
                    **({} if result_summary is None else {"summary": result_summary}),
                    **({} if failure is None else {"failure": failure.code.value}),
                    **({} if phase is None else {"phase": phase.value}),
                },
            )


def _seconds(start: datetime, end: datetime) -> float:
    return round(max(0.0, (end - start).total_seconds()), 3)
