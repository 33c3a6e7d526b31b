"""Limits on submissions: how many one user makes in a minute, and how many runs are queued.

One statement for each submission, at a cost that does not depend on the number of runs: queued runs are counted only
when the number of runs that surely fit is used up, and again after some seconds.
"""

import math
import time
from datetime import datetime, timedelta
from typing import NamedTuple

from moonmind_appliance.errors import TooMany
from moonmind_appliance.store.redacting import RedactingConnection, Verbatim
from moonmind_appliance.store.rows import readable_time, time_text

_MINUTE = timedelta(minutes=1)
_QUEUE_RETRY_SECONDS = 60
# Other processes, such as the command line, add runs that this one does not count.
_COUNT_AGAIN_AFTER = 10.0
_MOST_USERS = 1024

_LOAD = """
    SELECT
        (SELECT accepted_at FROM runs WHERE subject = :subject AND accepted_at > :since AND accepted_at <= :now
            ORDER BY accepted_at DESC LIMIT :minute_limit OFFSET :minute_offset) AS oldest,
        (SELECT count(*) FROM (SELECT 1 FROM runs INDEXED BY runs_queued
            WHERE status = 'queued' AND subject = :subject LIMIT :user_limit)) AS of_user,
        (SELECT count(*) FROM (SELECT 1 FROM runs INDEXED BY runs_queued
            WHERE status = 'queued' LIMIT :queue_limit)) AS queued
"""


class SubmissionLimits(NamedTuple):
    """The most submissions of one user in a minute, queued runs of one user, and queued runs; 0: no limit."""

    per_minute: int
    queued_of_user: int
    queued: int


class _Room(NamedTuple):
    """How many runs surely fit into the queue until a time on the monotonic clock."""

    runs: int
    until: float


class Admission:
    """Refuses runs that exceed a limit. Call it only within write transactions, which take turns."""

    def __init__(self, count_again_after: float = _COUNT_AGAIN_AFTER) -> None:
        self._count_again_after = count_again_after
        self._of_queue = _Room(0, 0.0)
        self._of_users: dict[str, _Room] = {}

    def check(
        self,
        connection: RedactingConnection,
        limits: SubmissionLimits,
        subject: str,
        now: datetime,
        *,
        is_new: bool = True,
    ) -> None:
        """Refuse one more queued run of this user; a run that is not new does not count as a submission.

        Raises:
            TooMany: `too_many_submissions`, `too_many_queued_runs` or `queue_full`.
        """
        per_minute = limits.per_minute if is_new else 0
        at = time.monotonic()
        of_user, of_queue = self._of_users.get(subject, _Room(0, 0.0)), self._of_queue
        counts_user = limits.queued_of_user > 0 and (of_user.runs < 1 or of_user.until < at)
        counts_queue = limits.queued > 0 and (of_queue.runs < 1 or of_queue.until < at)
        if not (per_minute or counts_user or counts_queue):
            row = None
        else:
            row = connection.execute(
                _LOAD,
                {
                    "subject": Verbatim(subject),
                    "since": Verbatim(time_text(now - _MINUTE)),
                    # A later time was stored before the clock was set back.
                    "now": Verbatim(time_text(now)),
                    "minute_limit": 1 if per_minute else 0,
                    "minute_offset": max(0, per_minute - 1),
                    "user_limit": limits.queued_of_user if counts_user else 0,
                    "queue_limit": limits.queued if counts_queue else 0,
                },
            ).fetchone()
        if row is not None:
            if row["oldest"] is not None:
                raise _too_fast(per_minute, readable_time(row["oldest"]) or now, now)
            until = at + self._count_again_after
            if counts_user:
                of_user = _Room(limits.queued_of_user - row["of_user"], until)
                if of_user.runs < 1:
                    raise _too_many_of_user(limits.queued_of_user)
            if counts_queue:
                of_queue = _Room(limits.queued - row["queued"], until)
                if of_queue.runs < 1:
                    raise _queue_full(limits.queued)
        # Too low if the transaction is rolled back; then the runs are counted again earlier.
        if len(self._of_users) >= _MOST_USERS:
            self._of_users.clear()
        self._of_users[subject] = of_user._replace(runs=of_user.runs - 1)
        self._of_queue = of_queue._replace(runs=of_queue.runs - 1)


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
