"""What is queued and what runs, in a few numbers: for the metrics and the status line, at a constant number of rows."""

from datetime import datetime
from typing import NamedTuple

from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.queue import REASON

# A run that waits for no reason waits for its turn.
TURN = "turn"

# The age is looked up for this many of the queued runs, those submitted first.
_MOST_LOOKED_UP = 1000

_COUNTS = f"""
    SELECT coalesce({REASON}, '{TURN}') AS reason, count(*) AS runs FROM runs WHERE status = 'queued' GROUP BY 1
"""  # noqa: S608 - fixed clauses

# When a run entered the queue: at its submission, its retry, or the first event after its last claim. The columns of
# `runs` do not say it: a retried run keeps its place in the queue, and with it the time of its submission.
_SINCE = f"""
    SELECT reason, min(since) AS since FROM (
        SELECT coalesce({REASON}, '{TURN}') AS reason, coalesce((
            SELECT at FROM events
            WHERE run_id = waiting.run_id AND kind IN ('run.queued', 'run.retried', 'run.requeued', 'run.waiting')
                AND event_id >= (
                    SELECT max(event_id) FROM events
                    WHERE run_id = waiting.run_id AND kind IN ('run.queued', 'run.retried', 'run.claimed')
                )
            ORDER BY event_id LIMIT 1
        ), accepted_at) AS since
        FROM (SELECT * FROM runs WHERE status = 'queued' ORDER BY accepted_at LIMIT {_MOST_LOOKED_UP}) AS waiting
    ) GROUP BY reason
"""  # noqa: S608 - fixed clauses


class Waiting(NamedTuple):
    """The queued runs with one reason: their number, and the seconds for which the oldest has been in the queue."""

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
    return 0.0 if since is None else max(0.0, (now - datetime.fromisoformat(since)).total_seconds())
