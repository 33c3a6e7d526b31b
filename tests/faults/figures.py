"""Figures of a schedule, from times. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Life:
    """One process, in seconds of the wall clock: when it was started, answered, and ended; the runs that it left."""

    started: float
    ready: float | None = None
    ended: float = math.inf
    executed: set[str] = field(default_factory=set)


def claimed_after(lives: Sequence[Life], claims: Sequence[tuple[str, float]]) -> list[float]:
    """For each run that a death interrupted: seconds from the start of the process that claimed it again to that claim.

    A process that was killed before its claim does not count. `claims` are run id and time, in order.
    """
    waits = []
    for life in lives:
        for run_id in sorted(life.executed):
            at = next((at for claimed, at in claims if claimed == run_id and at > life.ended), None)
            after = None if at is None else next((each for each in lives if each.started <= at <= each.ended), None)
            if at is not None and after is not None:
                waits.append(at - after.started)
    return waits


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; NaN without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


@dataclass
class Outage:
    """A time at which something was unavailable, in seconds of the wall clock; the runs executed at its beginning."""

    began: float
    ended: float
    executed: set[str] = field(default_factory=set)


def resumed_after(outages: Sequence[Outage], claims: Sequence[tuple[str, float]]) -> list[float]:
    """For each run that an outage interrupted: seconds from the outage's end to the run's next claim.

    A run that is not claimed before the next outage was not interrupted. `claims` are run id and time, in order.
    """
    waits = []
    for number, outage in enumerate(outages):
        until = outages[number + 1].began if number + 1 < len(outages) else math.inf
        for run_id in sorted(outage.executed):
            at = next((at for claimed, at in claims if claimed == run_id and outage.began < at < until), None)
            if at is not None:
                waits.append(at - outage.ended)
    return waits
