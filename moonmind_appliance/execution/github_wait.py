"""How long a run waits for GitHub, and when it stops waiting. Pure.

Earlier waits are counted from the run's events, so a restart does not lose them. A success of the phase, and a retry of
the run, begin anew. What GitHub asks of its callers: docs.github.com/rest, "Best practices for using the REST API" and
"Rate limits for the REST API".
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from moonmind_appliance.models import Event, Failure, FailureCode, PhaseName
from moonmind_appliance.units import duration

OUTAGE_PAUSES = (30.0, 60.0, 120.0, 240.0, 480.0, 870.0)
"""Seconds before each attempt while GitHub does not respond: half an hour in all."""
LONGEST_PAUSE = 3600.0
"""Seconds until the next attempt if a rate limit lasts longer: it may have been lifted."""
LONGEST_LIMIT = 24 * 3600.0
"""Seconds that a phase waits for rate limits and outages in all."""
EVENT_KINDS = ("phase.retrying", "phase.succeeded", "run.retried")
"""The kinds of events that `past_waits` needs."""

_FIRST_LIMIT = 60.0
# A later attempt by up to this share of the pause: runs that met the same limit must not return at the same moment.
_JITTER = 0.1
_MOST_JITTER, _LEAST_JITTER = 60.0, 1.0


class PastWait(NamedTuple):
    """An earlier wait of the phase: why, and its planned seconds."""

    code: str
    seconds: float


def past_waits(events: Sequence[Event], phase: PhaseName) -> list[PastWait]:
    """The phase's waits for GitHub since it last succeeded or the run was retried.

    Args:
        events: the run's events of `EVENT_KINDS`, oldest first.
        phase: which phase.
    """
    waits: list[PastWait] = []
    for event in events:
        if event.kind == "run.retried":
            waits = []
        elif event.data.get("phase") != phase.value:
            continue
        elif event.kind == "phase.succeeded":
            waits = []
        elif "pause" in event.data:
            waits.append(PastWait(str(event.data.get("failure")), float(event.data["pause"])))
    return waits


def next_pause(outage: Failure, past: Sequence[PastWait], *, now: datetime, random: float) -> float | None:
    """Seconds until the phase is repeated; None if the run has waited long enough.

    Args:
        outage: the rate limit or the outage.
        past: the phase's earlier waits.
        now: the current time, to compare `retry_at` with.
        random: from 0 to 1, for the jitter.
    """
    left = LONGEST_LIMIT - sum(wait.seconds for wait in past)
    same = 0
    for wait in reversed(past):
        if wait.code != outage.code.value:
            break
        same += 1
    if outage.code is FailureCode.GITHUB_RATE_LIMITED:
        pause = _limited(outage.retry_at, same, now)
    elif same < len(OUTAGE_PAUSES):
        pause = OUTAGE_PAUSES[same]
    else:
        return None
    if pause > left:
        return None
    return round(pause + random * min(_MOST_JITTER, max(_LEAST_JITTER, _JITTER * pause)), 1)


def _limited(retry_at: datetime | None, attempts: int, now: datetime) -> float:
    """The pause of a rate limit; it grows if GitHub names no time, or one that is over as soon as it arrives."""
    if retry_at is None:
        return min(_FIRST_LIMIT * 2.0 ** min(attempts, 10), LONGEST_PAUSE)
    least = min(2.0 ** min(attempts, 20), LONGEST_PAUSE)
    return max(least, min((retry_at - now).total_seconds(), LONGEST_PAUSE))


def given_up(outage: Failure, past: Sequence[PastWait]) -> Failure:
    """The failure of a run that has waited long enough."""
    waited = duration(sum(wait.seconds for wait in past))
    times = "once" if len(past) == 1 else f"{len(past)} times"
    message = f"{outage.message} The run waited for GitHub {times}, {waited} in all."
    return msgspec.structs.replace(outage, message=message)
