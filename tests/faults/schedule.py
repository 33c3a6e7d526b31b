"""What happens in one schedule, from a seed: which runs are submitted, and when what fails. Pure."""

import random
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from tests.faults.points import POINTS, Point

REPOSITORIES = ("faults/reading-list", "faults/shop", "faults/weather")

# Seconds after the API answers. A run takes about five seconds on an idle machine.
_SHORTEST, _LONGEST = 0.2, 9.0
# Seconds after the process is started; it answers after one or two.
_START_LONGEST = 2.5
_FULL_SECONDS = (2.0, 8.0)


class How(StrEnum):
    """How a process is killed."""

    INSTANT = "at an instant"
    START = "during its start"
    POINT = "at a named point"


class Kill(NamedTuple):
    """One kill: `seconds` after the API answers (INSTANT), `seconds` after the start (START), or at a point's call."""

    how: How
    seconds: float = 0.0
    point: str = ""
    number: int = 1

    @property
    def is_of_login(self) -> bool:
        """Whether the process that dies is a sign-in."""
        return self.how is How.POINT and POINTS[self.point].login


class Fill(NamedTuple):
    """A time of `seconds` at which the disk is full: `after` seconds of work, or from a point's call on."""

    seconds: float
    after: float = 0.0
    point: str = ""
    number: int = 1


class Plan(NamedTuple):
    """One submission. `cancel_after` seconds after it was accepted, its caller cancels it; None: never.

    `limited`: the account of the next turn reaches its usage limit for some seconds.
    """

    number: int
    repository: str
    dry_run: bool
    cancel_after: float | None
    limited: bool

    @property
    def text(self) -> str:
        """The specification."""
        return f"# Wish {self.number}\n\n- Goal: wish number {self.number} comes true\n- Scope: the stored list\n"


def kills(seed: int, count: int, points: Mapping[str, Point] = POINTS) -> list[Kill]:
    """The kills in order, always the same for a seed. Each named point occurs at least once if there are enough."""
    random_of = random.Random(f"kills {seed}")  # noqa: S311 - a schedule, not a secret
    every = [_at(point, random_of) for point in points.values()]
    random_of.shuffle(every)
    # At most two thirds: instants and starts find what has no name.
    most = max(1, count * 2 // 3)
    made = every[:most]
    while len(made) < count:
        made.append(_other(random_of, points))
    random_of.shuffle(made)
    return made


def _at(point: Point, random_of: random.Random) -> Kill:
    return Kill(How.POINT, point=point.name, number=random_of.randint(1, point.most))


def _other(random_of: random.Random, points: Mapping[str, Point]) -> Kill:
    drawn = random_of.random()
    if drawn < 0.6:
        return Kill(How.INSTANT, seconds=round(random_of.uniform(_SHORTEST, _LONGEST), 2))
    if drawn < 0.8:
        return Kill(How.START, seconds=round(random_of.uniform(0.0, _START_LONGEST), 2))
    return _at(random_of.choice(list(points.values())), random_of)


# A full disk prevents the start and a sign-in, which then say so; the harness needs a process that serves.
FILL_POINTS = {name: point for name, point in POINTS.items() if not (point.startup or point.login)}


def fills(seed: int, count: int, points: Mapping[str, Point] = FILL_POINTS) -> list[Fill]:
    """The times at which the disk is full, always the same for a seed. Each point occurs if there are enough."""
    random_of = random.Random(f"fills {seed}")  # noqa: S311 - a schedule, not a secret
    every = list(points.values())
    random_of.shuffle(every)
    made = [
        Fill(_full_for(random_of), point=point.name, number=random_of.randint(1, point.most))
        for point in every[: max(1, count * 2 // 3)]
    ]
    while len(made) < count:
        made.append(Fill(_full_for(random_of), after=round(random_of.uniform(_SHORTEST, _LONGEST), 2)))
    random_of.shuffle(made)
    return made


def _full_for(random_of: random.Random) -> float:
    return round(random_of.uniform(*_FULL_SECONDS), 2)


def plans(seed: int) -> Iterator[Plan]:
    """The submissions in order, without end; always the same for a seed."""
    random_of = random.Random(f"plans {seed}")  # noqa: S311 - a schedule, not a secret
    number = 0
    while True:
        number += 1
        drawn = random_of.random()
        yield Plan(
            number=number,
            repository=random_of.choice(REPOSITORIES),
            dry_run=drawn < 0.08,
            cancel_after=round(random_of.uniform(0.0, 12.0), 2) if 0.08 <= drawn < 0.16 else None,
            limited=0.16 <= drawn < 0.2,
        )


def points_of(schedule: Collection[Kill]) -> set[str]:
    """The named points that the schedule reaches for."""
    return {kill.point for kill in schedule if kill.how is How.POINT}
