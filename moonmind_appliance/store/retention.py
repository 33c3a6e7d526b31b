"""What is past its retention time in the database, and its removal in short transactions.

A method that removes handles one batch, so that other writers wait for milliseconds only. Each checks again, in its
transaction, that the run has not been queued again meanwhile.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from moonmind_appliance.models import FINAL_RUN_STATUSES
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.events import record_for_runs
from moonmind_appliance.store.redacting import Verbatim
from moonmind_appliance.store.rows import json_text, time_text, to_event

_FINAL = f"status IN ({', '.join(repr(status.value) for status in sorted(FINAL_RUN_STATUSES))})"
_ENDED = "coalesce(completed_at, accepted_at)"
_IDS = "run_id IN (SELECT value FROM json_each(:ids))"
_IDS_AT_ONCE = 1000
_EVENTS_AT_ONCE = 2000
_GOES = """
    event_id > :after AND event_id < :end AND at < :before
    AND (run_id IS NULL OR run_id NOT IN (SELECT run_id FROM runs WHERE status IN ('queued', 'in_progress')))
"""


class RunEnd(NamedTuple):
    """When a run ended (UTC); None if it has not."""

    ended_at: datetime | None


class LastRun(NamedTuple):
    """The last run of a repository: when it ended (UTC), None if there is none or it has not ended; and what is open.

    `is_open`: a run of the repository is queued or in progress; `in_progress`: one is in progress.
    """

    ended_at: datetime | None
    is_open: bool
    in_progress: bool


class OldText(NamedTuple):
    """A specification text past its retention time, and when its run ended (UTC)."""

    run_id: str
    ended_at: datetime
    size_bytes: int


class OldEvents(NamedTuple):
    """Events past their retention time: their number, bytes of data, and the time of the oldest."""

    number: int
    size_bytes: int
    oldest: datetime | None


class RetentionStore:
    """Reads and removes what is past its retention time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ends(self, run_ids: Iterable[str]) -> dict[str, RunEnd]:
        """The ends of these runs, by id; a run without a row is omitted. A statement for each thousand."""
        found: dict[str, RunEnd] = {}
        left = iter(run_ids)
        while ids := list(islice(left, _IDS_AT_ONCE)):
            with self._database.read() as connection:
                rows = connection.execute(
                    f"SELECT run_id, iif({_FINAL}, {_ENDED}, NULL) FROM runs WHERE {_IDS}",  # noqa: S608 - fixed clauses
                    {"ids": _ids(ids)},
                )
                found |= {run_id: RunEnd(_time(at)) for run_id, at in rows}
        return found

    def last_run(self, repository: str) -> LastRun:
        """The last run of a repository, by its submitted name in any case."""
        with self._database.read() as connection:
            newest = connection.execute(
                f"""
                SELECT iif({_FINAL}, {_ENDED}, NULL) FROM runs WHERE repository = ?
                ORDER BY accepted_at DESC, run_id DESC LIMIT 1
                """,  # noqa: S608 - fixed clauses
                (repository,),
            ).fetchone()
            open_runs = connection.execute(
                "SELECT DISTINCT status FROM runs WHERE repository = ? AND status IN ('queued', 'in_progress')",
                (repository,),
            ).fetchall()
        statuses = {row["status"] for row in open_runs}
        return LastRun(None if newest is None else _time(newest[0]), bool(statuses), "in_progress" in statuses)

    def workspace_bytes(self, run_ids: Sequence[str]) -> dict[str, int]:
        """The size of these runs' workspaces, as their `cleanup` measured it; omitted where it is not known."""
        found: dict[str, int] = {}
        for start in range(0, len(run_ids), _IDS_AT_ONCE):
            with self._database.read() as connection:
                rows = connection.execute(
                    f"""
                    SELECT run_id, json_extract(metadata, '$.workspace_bytes') AS size FROM phases
                    WHERE {_IDS} AND phase = 'cleanup' AND json_valid(metadata)
                    """,  # noqa: S608 - fixed clauses
                    {"ids": _ids(run_ids[start : start + _IDS_AT_ONCE])},
                )
                found |= {row["run_id"]: row["size"] for row in rows if isinstance(row["size"], int)}
        return found

    def old_texts(self, before: datetime) -> list[OldText]:
        """The texts of runs that ended before that time, oldest first. Reads these texts, and no other."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"""
                SELECT run_id, {_ENDED}, length(CAST(text AS BLOB)) FROM runs JOIN specifications USING (run_id)
                WHERE {_FINAL} AND {_ENDED} < ? ORDER BY {_ENDED}, run_id
                """,  # noqa: S608 - fixed clauses
                (time_text(before),),
            )
            return [OldText(run_id, at, size) for run_id, ended, size in rows if (at := _time(ended)) is not None]

    def old_events(self, before: datetime) -> OldEvents:
        """The events before that time that belong to no open run."""
        with self._database.read() as connection:
            values = {"after": 0, "end": self._first_event_at(before), "before": time_text(before)}
            count, size, oldest = connection.execute(
                f"SELECT count(*), coalesce(sum(length(data)), 0), min(at) FROM events WHERE {_GOES}",  # noqa: S608 - fixed clauses
                values,
            ).fetchone()
            return OldEvents(count, size, _time(oldest))

    def remove_events(self, before: datetime, *, after: int = 0) -> tuple[int, int]:
        """Delete the next two thousand of the events before that time that belong to no open run.

        Returns:
            how many were deleted, and the value of `after` for the next call.
        """
        with self._database.write() as connection:
            values = {"after": after, "end": self._first_event_at(before), "before": time_text(before)}
            ids = [
                event_id
                for (event_id,) in connection.execute(
                    f"SELECT event_id FROM events WHERE {_GOES} ORDER BY event_id LIMIT {_EVENTS_AT_ONCE}",  # noqa: S608 - fixed clauses
                    values,
                )
            ]
            connection.execute("DELETE FROM events WHERE event_id IN (SELECT value FROM json_each(?))", (_ids(ids),))
            return len(ids), max(ids, default=after)

    def remove_texts(self, run_ids: Collection[str], before: datetime) -> set[str]:
        """Delete the texts of these runs if they ended before that time; their pages are overwritten.

        Returns:
            the ids of the runs whose texts were deleted.
        """
        which = f"{_IDS} AND {_FINAL} AND {_ENDED} < :before"
        values = {"ids": _ids(run_ids), "before": time_text(before)}
        with self._database.write() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            try:
                removed = {
                    run_id
                    for (run_id,) in connection.execute(
                        f"""
                        DELETE FROM specifications WHERE run_id IN (SELECT run_id FROM runs WHERE {which})
                        RETURNING run_id
                        """,  # noqa: S608 - fixed clauses
                        values,
                    ).fetchall()
                }
                deleted = {"ids": _ids(removed)}
                record_for_runs(connection, "run.specification_removed", _IDS, deleted, data={})
            finally:
                connection.execute("PRAGMA secure_delete = OFF")
            return removed

    def remove_artifacts(
        self, run_ids: Collection[str], *, before_commit: Callable[[str], None] = lambda _run_id: None
    ) -> set[str]:
        """Delete the artifact records of these runs, except of those that are open.

        `before_commit` is called for each run that is not open, while no run can be queued again.

        Returns:
            the ids of all runs among them that are not open: their files can be removed.
        """
        values = {"ids": _ids(run_ids)}
        with self._database.write() as connection:
            open_runs = {
                run_id
                for (run_id,) in connection.execute(
                    f"SELECT run_id FROM runs WHERE {_IDS} AND NOT ({_FINAL})",  # noqa: S608 - fixed clauses
                    values,
                )
            }
            closed = set(run_ids) - open_runs
            values = {"ids": _ids(closed)}
            # One statement for all events: each text that Python passes would be searched for secrets.
            events = connection.execute(
                f"""
                INSERT INTO events (kind, at, run_id, data)
                SELECT :kind, :at, run_id, json_object('count', count(*)) FROM artifacts
                WHERE {_IDS} GROUP BY run_id RETURNING *
                """,  # noqa: S608 - fixed clauses
                values | {"kind": "artifacts.removed", "at": time_text(datetime.now(UTC))},
            ).fetchall()
            connection.recorded += map(to_event, events)
            connection.execute(f"DELETE FROM artifacts WHERE {_IDS}", values)  # noqa: S608 - fixed clauses
            for run_id in closed:
                before_commit(run_id)
            return closed

    def _first_event_at(self, at: datetime) -> int:
        """The first event that is not before that time, found by bisection: ids increase with time.

        After a clock was set back, some events near the boundary are found only at a later call.
        """
        with self._database.read() as connection:
            low, high = connection.execute(
                "SELECT coalesce(min(event_id), 0), coalesce(max(event_id), 0) + 1 FROM events"
            ).fetchone()
            while low < high:
                middle = (low + high) // 2
                found = connection.execute(
                    "SELECT event_id, at FROM events WHERE event_id >= ? ORDER BY event_id LIMIT 1", (middle,)
                ).fetchone()
                if found is None or found["at"] >= time_text(at):
                    high = middle
                else:
                    low = found["event_id"] + 1
            return int(low)


def _time(stored: str | None) -> datetime | None:
    """A stored time; None for NULL, and for one that cannot be read: what belongs to such a row is kept."""
    try:
        return None if stored is None else datetime.fromisoformat(stored)
    except ValueError:
        return None


def _ids(ids: Iterable[object]) -> Verbatim:
    """Ids as a JSON array for `json_each`, of any length."""
    return Verbatim(json_text(list(ids)))
