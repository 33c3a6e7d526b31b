"""What is queued and what runs, in a few numbers: for the metrics and the status line, at a constant number of rows."""

from datetime import datetime
from typing import NamedTuple

from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.queue import REASON
from moonmind_appliance.store.rows import readable_time

# A run that waits for no reason waits for its turn.
TURN = "turn"

# The age is looked up for this many of the queued runs, those submitted first.
_MOST_LOOKED_UP = 1000

_COUNTS = f"""
    SELECT coalesce({REASON}, '{TURN}') AS reason, count(*) AS runs FROM runs WHERE status = 'queued' GROUP BY 1
"""  # noqa: S608 - fixed clauses

# Since when a run waits: since its submission or retry; if it was claimed after that, since it first had to wait or was
# interrupted after its last progress. An attempt that only ends in the same wait does not begin a new one. The columns
# of `runs` do not say it: a retried run keeps its place in the queue, and with it the time of its submission.
_SINCE = f"""
    WITH oldest AS MATERIALIZED (
        SELECT run_id, accepted_at, coalesce({REASON}, '{TURN}') AS reason,
            (SELECT max(event_id) FROM events WHERE run_id = runs.run_id AND kind IN ('run.queued', 'run.retried'))
                AS queued,
            (SELECT max(event_id) FROM events WHERE run_id = runs.run_id AND kind = 'phase.succeeded'
                AND json_valid(data)
                AND json_extract(data, '$.phase') NOT IN ('start_job_container', 'git_clone')) AS progress
        FROM runs WHERE status = 'queued' ORDER BY accepted_at LIMIT {_MOST_LOOKED_UP}
    ), claimed AS MATERIALIZED (
        SELECT *, (SELECT min(event_id) FROM events WHERE run_id = oldest.run_id AND kind = 'run.claimed'
            AND event_id > queued) AS claim FROM oldest
    )
    SELECT reason, min(coalesce(
        CASE WHEN claim IS NULL THEN (SELECT at FROM events WHERE event_id = queued)
        ELSE (SELECT at FROM events WHERE run_id = claimed.run_id AND kind IN ('run.waiting', 'run.requeued')
            AND event_id > max(claim, coalesce(progress, 0)) ORDER BY event_id LIMIT 1) END, accepted_at)) AS since
    FROM claimed GROUP BY reason
"""  # noqa: S608 - fixed clauses


class Waiting(NamedTuple):
    """The queued runs with one reason: their number, and the seconds for which the oldest has waited."""

    runs: int
    oldest_seconds: float


class Backlog(NamedTuple):
    """The queued runs by what they wait for (a `WaitReason`, or `TURN`), and the runs in progress by their shard."""

    waiting: dict[str, Waiting]
    running: dict[int, int]


class BacklogStore:
    """Reads the backlog: three statements for any number of runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self, now: datetime) -> Backlog:
        """The backlog at that time (with a time zone)."""
        with self._database.read() as connection:
            counts = connection.execute(_COUNTS).fetchall()
            since = dict(connection.execute(_SINCE).fetchall())
            running = connection.execute(
                "SELECT shard, count(*) FROM runs WHERE status = 'in_progress' AND shard IS NOT NULL GROUP BY shard"
            ).fetchall()
        return Backlog({reason: Waiting(runs, _age(since.get(reason), now)) for reason, runs in counts}, dict(running))


def _age(since: str | None, now: datetime) -> float:
    at = readable_time(since)
    return 0.0 if at is None else max(0.0, (now - at).total_seconds())
