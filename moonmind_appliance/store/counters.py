"""Counters for the metrics: they only grow, and survive restarts, retries, retention and the removal of runs.

A counter is a row of the table `appliance`, written in the transaction of the change that it counts.
"""

from collections.abc import Sequence

from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.redacting import RedactingConnection, Verbatim

# Upper bounds of the buckets, in seconds: from a phase that only calls GitHub to a turn of the model.
PHASE_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 2700, 5400)
# Labels: the status and the failure code ("" without a failure); the phase and the bucket's bound; the phase.
ENDED, PHASE_BUCKET, PHASE_SUM = "runs_ended", "phase_seconds_bucket", "phase_seconds_sum"

_PREFIX = "counter:"
_ADD = """
    INSERT INTO appliance VALUES (:key, :amount)
    ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(value AS REAL) + CAST(:amount AS REAL) AS TEXT)
"""


def count(connection: RedactingConnection, name: str, *labels: str, amount: float = 1) -> None:
    """Add to a counter inside the transaction of the change that it counts. A label contains no colon."""
    key = _PREFIX + ":".join((name, *labels))
    connection.execute(_ADD, {"key": Verbatim(key), "amount": Verbatim(amount)})


def count_phase(connection: RedactingConnection, phase: str, seconds: float) -> None:
    """Add a phase that succeeded to its histogram: to the one bucket that it is in, and to the sum."""
    bound = next((str(bound) for bound in PHASE_SECONDS if seconds <= bound), "+Inf")
    count(connection, PHASE_BUCKET, phase, bound)
    count(connection, PHASE_SUM, phase, amount=seconds)


class CounterStore:
    """Reads the counters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[tuple[str, ...], float]:
        """Each counter by its name and labels; one that never counted is missing. A row that is no number is 0."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT key, CAST(value AS REAL) FROM appliance WHERE key GLOB ?", (f"{_PREFIX}*",)
            ).fetchall()
        return {tuple(key.removeprefix(_PREFIX).split(":")): value for key, value in rows}


def phase_histogram(counters: dict[tuple[str, ...], float], phase: str) -> tuple[Sequence[tuple[str, float]], float]:
    """The phase's buckets as Prometheus has them (each includes the smaller ones), and the sum of its seconds."""
    total, buckets = 0.0, []
    for bound in (*map(str, PHASE_SECONDS), "+Inf"):
        total += counters.get((PHASE_BUCKET, phase, bound), 0.0)
        buckets.append((bound, total))
    return buckets, counters.get((PHASE_SUM, phase), 0.0)
