"""Limits on submissions: how many one user makes in a minute, and how many runs are queued.

A submission far from a limit costs no statement. A count gives the number of runs that still fit; runs are counted
again when that number is used up, and after some seconds. A count reads at most as many index entries as its limit.
"""

import math
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from moonmind_appliance.errors import TooMany
from moonmind_appliance.store.redacting import RedactingConnection
from moonmind_appliance.store.rows import readable_time, time_text

_MINUTE = timedelta(minutes=1)
_QUEUE_RETRY_SECONDS = 60
# Other processes, such as the command line, add runs that this one does not count.
_COUNT_AGAIN_AFTER = 10.0
_MOST_KEPT = 2048

# Runs with a time in the future were stored before the clock was set back.
_OF_MINUTE = "FROM runs WHERE subject = :subject AND accepted_at > :since AND accepted_at <= :now"
_QUEUED = "FROM runs INDEXED BY runs_queued WHERE status = 'queued'"
_OLDEST = f"SELECT accepted_at {_OF_MINUTE} ORDER BY accepted_at DESC LIMIT 1 OFFSET :limit - 1"


class _Limit(Enum):
    MINUTE = "minute"
    USER = "user"
    QUEUE = "queue"


_COUNTS = {
    _Limit.MINUTE: f"SELECT count(*) FROM (SELECT 1 {_OF_MINUTE} LIMIT :limit)",  # noqa: S608 - a fixed clause
    _Limit.USER: f"SELECT count(*) FROM (SELECT 1 {_QUEUED} AND subject = :subject LIMIT :limit)",  # noqa: S608 - a fixed clause
    _Limit.QUEUE: f"SELECT count(*) FROM (SELECT 1 {_QUEUED} LIMIT :limit)",  # noqa: S608 - a fixed clause
}


class SubmissionLimits(NamedTuple):
    """The most submissions of one user in a minute, queued runs of one user, and queued runs; 0: no limit."""

    per_minute: int
    queued_of_user: int
    queued: int


@dataclass(slots=True)
class _Remaining:
    """How many more runs fit, until a time on the monotonic clock."""

    runs: int
    until: float


class Admission:
    """Refuses runs that exceed a limit. Call it only within write transactions, which are serialized."""

    def __init__(self, count_again_after: float = _COUNT_AGAIN_AFTER) -> None:
        self._count_again_after = count_again_after
        # By limit and user; "" for all users.
        self._remaining: dict[tuple[_Limit, str], _Remaining] = {}

    def __len__(self) -> int:
        return len(self._remaining)

    def check(
        self,
        connection: RedactingConnection,
        limits: SubmissionLimits,
        subject: str,
        now: datetime,
        *,
        is_new: bool = True,
    ) -> None:
        """Refuse one more queued run of this user; a retried run does not count as a submission.

        Raises:
            TooMany: `too_many_submissions`, `too_many_queued_runs` or `queue_full`.
        """
        at = time.monotonic()
        counted = []
        for limit, whose, most in (
            (_Limit.MINUTE, subject, limits.per_minute if is_new else 0),
            (_Limit.USER, subject, limits.queued_of_user),
            (_Limit.QUEUE, "", limits.queued),
        ):
            if most:
                remaining = self._remaining.get((limit, whose))
                if remaining is None or remaining.runs < 1 or remaining.until <= at:
                    remaining = self._count(connection, limit, whose, most, now)
                counted.append(remaining)
        # Too low if the transaction is rolled back; then the runs are counted again earlier.
        for remaining in counted:
            remaining.runs -= 1

    def _count(
        self, connection: RedactingConnection, limit: _Limit, whose: str, most: int, now: datetime
    ) -> _Remaining:
        """Count how many runs still fit.

        Raises:
            TooMany: no further run fits.
        """
        values: dict[str, object] = {"limit": most}
        if limit is not _Limit.QUEUE:
            values |= {"subject": whose}
        if limit is _Limit.MINUTE:
            values |= {"since": time_text(now - _MINUTE), "now": time_text(now)}
        found = connection.execute(_COUNTS[limit], values).fetchone()[0]
        if found >= most:
            if limit is _Limit.MINUTE:
                row = connection.execute(_OLDEST, values).fetchone()
                raise _too_fast(most, readable_time(row[0]) or now, now)
            raise _too_many_of_user(most) if limit is _Limit.USER else _queue_full(most)
        if len(self._remaining) >= _MOST_KEPT:
            self._remaining.clear()
        remaining = self._remaining[limit, whose] = _Remaining(most - found, time.monotonic() + self._count_again_after)
        return remaining


def _too_fast(limit: int, oldest: datetime, now: datetime) -> TooMany:
    seconds = max(1, math.ceil((oldest + _MINUTE - now).total_seconds()))
    return TooMany(
        f"You have submitted {limit} runs within a minute, the most that MAX_SUBMISSIONS_PER_MINUTE allows.",
        hint=f"Nothing was stored. Send the request again in {seconds} s.",
        code="too_many_submissions",
        retry_after=seconds,
    )


def _too_many_of_user(limit: int) -> TooMany:
    return TooMany(
        f"{limit} runs of this user are queued, the most that MAX_QUEUED_RUNS_PER_USER allows.",
        hint="Nothing was changed. Send the request again when some have started, or cancel some.",
        code="too_many_queued_runs",
        retry_after=_QUEUE_RETRY_SECONDS,
    )


def _queue_full(limit: int) -> TooMany:
    return TooMany(
        f"The queue is full: {limit} runs are queued, the most that MAX_QUEUED_RUNS allows.",
        hint="Nothing was changed. Send the request again when some have started.",
        code="queue_full",
        retry_after=_QUEUE_RETRY_SECONDS,
    )
