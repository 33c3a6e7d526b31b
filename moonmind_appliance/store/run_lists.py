"""Lists of runs, read without the specification text and without one statement per row."""

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import FINAL_RUN_STATUSES, PHASE_ORDER, PhaseStatus, Run, RunFilter, RunOrder, RunStatus
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.rows import json_text, time_text, to_run

_log = logging.getLogger(__name__)

# The groups of the orders `ACTIVE` and `STATUS`: one statement per group reads an index in order, whereas a single
# statement would have to sort every run.
_GROUPS: dict[RunOrder, tuple[frozenset[RunStatus], ...]] = {
    RunOrder.ACTIVE: (frozenset({RunStatus.IN_PROGRESS}), frozenset({RunStatus.QUEUED}), FINAL_RUN_STATUSES),
    RunOrder.STATUS: tuple(frozenset({status}) for status in RunStatus),
}
_ORDER_BY: dict[RunOrder, str] = {
    RunOrder.OLDEST: "accepted_at, run_id",
    RunOrder.REPOSITORY: "repository, accepted_at DESC, run_id DESC",
    RunOrder.DURATION: (
        "julianday(coalesce(completed_at, :now)) - julianday(started_at) DESC NULLS LAST, accepted_at DESC, run_id DESC"
    ),
}
_NEWEST_FIRST = "accepted_at DESC, run_id DESC"

# Fields are joined with a character that no text contains, so that no match spans two fields.
_TEXT = """
    instr(casefold(repository || char(31) || coalesce(external_ref, '') || char(31) || run_id || char(31)
        || username || char(31) || status || char(31) || replace(status, '_', ' ')), :text)
"""


class RunHead(NamedTuple):
    """A run without specification text and phases (`run.specify_text` and `run.phases` are empty), and the status of
    each phase, in `PHASE_ORDER`."""  # noqa: D205, D209 - one sentence

    run: Run
    phases: tuple[PhaseStatus, ...]


class RunLists:
    """Reads many runs at once. Every `Run` from here has an empty `specify_text` and no `phases`.

    A row that cannot be read is omitted and logged.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, wanted: RunFilter, *, limit: int, before: tuple[datetime, str] | None = None) -> list[Run]:
        """Runs, newest first.

        Args:
            wanted: which runs.
            limit: most runs to return; fewer only if there are no more.
            before: `accepted_at` and `run_id` of the last run already seen; only older runs are read.
        """
        clauses, values = _where(wanted)
        if before is not None:
            clauses.append("(accepted_at, run_id) < (:at, :id)")
            values |= {"at": time_text(before[0]), "id": before[1]}
        with self._database.read() as connection:
            rows = connection.execute(_select("*", clauses, _NEWEST_FIRST), values)
            return _readable(rows, limit)

    def ids(self, wanted: RunFilter, order: RunOrder, *, now: datetime) -> list[str]:
        """The ids of all runs that match, in that order; `now` is the end of the duration of a run in progress."""
        clauses, values = _where(wanted)
        values["now"] = time_text(now)
        order_by = _ORDER_BY.get(order, _NEWEST_FIRST)
        found: list[str] = []
        with self._database.read() as connection:
            cursor = connection.cursor()
            cursor.row_factory = None
            for group in _GROUPS.get(order, (None,)):
                more = [] if group is None else [_status_in(group)]
                cursor.execute(_select("run_id", [*clauses, *more], order_by), values)
                found += [run_id for (run_id,) in cursor]
        return found

    def by_id(self, run_ids: Iterable[str]) -> dict[str, RunHead]:
        """These runs, by id; two statements for any number. An id without a run is omitted."""
        ids = json_text(list(run_ids))
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT * FROM runs WHERE run_id IN (SELECT value FROM json_each(?))", (ids,)
            ).fetchall()
            phases = connection.execute(
                "SELECT run_id, position, status FROM phases WHERE run_id IN (SELECT value FROM json_each(?))", (ids,)
            )
            statuses: dict[str, list[PhaseStatus]] = {
                row["run_id"]: [PhaseStatus.PENDING] * len(PHASE_ORDER) for row in rows
            }
            for row in phases:
                if row["run_id"] not in statuses:
                    continue
                try:
                    statuses[row["run_id"]][row["position"]] = PhaseStatus(row["status"])
                except (ValueError, IndexError):
                    _log.error("Run %s: the stored row of a phase cannot be read.", row["run_id"])
                    del statuses[row["run_id"]]
            rows = [row for row in rows if row["run_id"] in statuses]
        return {run.run_id: RunHead(run, tuple(statuses[run.run_id])) for run in _readable(rows)}

    def with_prefix(self, prefix: str, *, created_by: str | None, limit: int) -> list[str]:
        """The ids that begin with that text, sorted; of one submitter, or of all (None)."""
        with self._database.read() as connection:
            rows = connection.execute(
                """
                SELECT run_id FROM runs
                WHERE run_id >= :prefix AND run_id < :prefix || char(1114111)
                    AND (:created_by IS NULL OR subject = :created_by)
                ORDER BY run_id LIMIT :limit
                """,
                {"prefix": prefix, "created_by": created_by, "limit": limit},
            )
            return [row["run_id"] for row in rows]

    def repositories(self, limit: int) -> list[str]:
        """Distinct repositories of runs, most recently used first, in their latest spelling."""
        with self._database.read() as connection:
            # SQLite takes the bare column from the row with the max(): https://www.sqlite.org/lang_select.html#bareagg
            rows = connection.execute(
                "SELECT repository, max(accepted_at) AS last FROM runs GROUP BY repository ORDER BY last DESC LIMIT ?",
                (limit,),
            )
            return [row["repository"] for row in rows]

    def in_progress(self) -> list[Run]:
        """All runs in progress, oldest first."""
        return self._with_status(RunStatus.IN_PROGRESS)

    def queued(self) -> list[Run]:
        """All queued runs, oldest first."""
        return self._with_status(RunStatus.QUEUED)

    def _with_status(self, status: RunStatus) -> list[Run]:
        with self._database.read() as connection:
            rows = connection.execute(_select("*", [_status_in({status})], "accepted_at, run_id"))
            return _readable(rows)


def _select(columns: str, clauses: Sequence[str], order_by: str) -> str:
    return f"SELECT {columns} FROM runs WHERE {' AND '.join(clauses) or 'TRUE'} ORDER BY {order_by}"  # noqa: S608 - fixed clauses


def _where(wanted: RunFilter) -> tuple[list[str], dict[str, Any]]:
    clauses = {
        "subject = :created_by": wanted.created_by,
        "repository = :repository": wanted.repository,
        "external_ref = :external_ref": wanted.external_ref,
        _TEXT: wanted.text or None,
        _status_in(wanted.statuses): wanted.statuses or None,
    }
    values = {
        "created_by": wanted.created_by,
        "repository": wanted.repository,
        "external_ref": wanted.external_ref,
        "text": wanted.text.casefold(),
    }
    return [clause for clause, value in clauses.items() if value is not None], values


def _status_in(statuses: Iterable[RunStatus]) -> str:
    """The statuses as SQL literals, so that SQLite sees which part of an index it needs."""
    names = ", ".join(f"'{status.value}'" for status in sorted(statuses))
    return f"status IN ({names})"


def _readable(rows: Iterable[sqlite3.Row], limit: int | None = None) -> list[Run]:
    runs: list[Run] = []
    for row in rows:
        if limit is not None and len(runs) >= limit:
            break
        try:
            runs.append(to_run(row))
        except StoreError as error:
            _log.error("%s", error)
    return runs
