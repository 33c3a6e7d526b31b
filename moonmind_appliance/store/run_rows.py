"""Exports and deletes a run's rows as SQLite stores them, even if they cannot be read as a `Run`."""

import base64
import sqlite3
from datetime import datetime
from typing import Any

from moonmind_appliance.errors import Conflict
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.events import record
from moonmind_appliance.store.rows import time_text

_CLAIMED = "status = 'in_progress' AND lease_until > :now"
# Tables with a column `run_id`. Tables that other tables refer to come last.
_TABLES = ("events", "artifacts", "phases", "specifications", "idempotency_keys", "runs")


class RunRows:
    """Reads and deletes all rows of one run without interpreting them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def export(self, run_id: str) -> dict[str, list[dict[str, Any]]]:
        """The run's rows by table, one dict per row; bytes as base64 text. Empty lists if there is no such run."""
        with self._database.read() as connection:
            # A value that is not UTF-8 must not prevent the export of the other values.
            before = connection.text_factory
            connection.text_factory = lambda stored: stored.decode(errors="backslashreplace")
            try:
                return {table: _rows(connection, table, run_id) for table in _TABLES}
            finally:
                connection.text_factory = before

    def remove(self, run_id: str, *, unreadable: bool, now: datetime) -> bool:
        """Delete the run's rows, and record `run.removed`; False if there is no such run. Idempotent.

        Args:
            run_id: which run.
            unreadable: the run cannot be read, so it can never end; its status is not checked.
            now: the time to compare the end of its claim with.

        Raises:
            Conflict: `run_not_final`, the run is queued or in progress, or, if it is unreadable, claimed by a worker.
        """
        active = _CLAIMED if unreadable else "status IN ('queued', 'in_progress')"
        with self._database.write() as connection:
            found = connection.execute(
                f"SELECT 1 FROM runs WHERE run_id = :run_id AND {active}",  # noqa: S608 - fixed clauses
                {"run_id": run_id, "now": time_text(now)},
            ).fetchone()
            if found is not None:
                hint = "Stop the appliance, or wait for its worker." if unreadable else "Cancel it first."
                raise Conflict(f"Run {run_id} has not ended.", hint=hint, code="run_not_final")
            for table in _TABLES:
                removed = connection.execute(
                    f"DELETE FROM {table} WHERE run_id = ?",  # noqa: S608 - fixed names
                    (run_id,),
                ).rowcount
            if removed:
                record(connection, "run.removed", data={"removed": run_id})
            return bool(removed)


def _rows(connection: sqlite3.Connection, table: str, run_id: str) -> list[dict[str, Any]]:
    rows = connection.execute(f"SELECT * FROM {table} WHERE run_id = ?", (run_id,))  # noqa: S608 - fixed names
    names = [column[0] for column in rows.description]
    return [dict(zip(names, map(_plain, row), strict=True)) for row in rows]


def _plain(value: object) -> object:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
