"""A schedule is the same for the same seed, and reaches every named point."""

from collections import Counter
from itertools import islice

from tests.faults.points import POINTS
from tests.faults.schedule import FILL_POINTS, How, fills, kills, plans, points_of


def test_the_same_seed_gives_the_same_schedule() -> None:
    """Kills and submissions; another seed gives others."""
    assert kills(7, 200) == kills(7, 200)
    assert kills(7, 200) != kills(8, 200)
    assert list(islice(plans(7), 50)) == list(islice(plans(7), 50))
    assert list(islice(plans(7), 50)) != list(islice(plans(8), 50))


def test_a_whole_schedule_reaches_every_point() -> None:
    """At least once, beside instants and starts."""
    made = kills(1, 200)
    assert len(made) == 200
    assert points_of(made) == set(POINTS)
    counted = Counter(kill.how for kill in made)
    assert all(counted[how] > 10 for how in How)


def test_a_short_schedule_has_kills_of_several_kinds() -> None:
    """At least two thirds are at named points."""
    made = kills(1, 6)
    assert len(made) == 6
    assert sum(kill.how is How.POINT for kill in made) >= 4


def test_submissions_differ() -> None:
    """Their texts are unique; some are dry runs, some are cancelled, some meet a used-up account."""
    made = list(islice(plans(3), 200))
    assert len({plan.text for plan in made}) == 200
    assert 0 < sum(plan.dry_run for plan in made) < 40
    assert 0 < sum(plan.cancel_after is not None for plan in made) < 40
    assert 0 < sum(plan.limited for plan in made) < 40


def test_full_disks_are_planned() -> None:
    """The same for a seed; with enough of them at every point that a process reaches while it serves."""
    assert fills(7, 100) == fills(7, 100) != fills(8, 100)
    made = fills(7, 100)
    assert {each.point for each in made} == {*FILL_POINTS, ""}
    assert all(2 <= each.seconds <= 8 for each in made)
    assert all(bool(each.after) is not bool(each.point) for each in made)
    assert [len(fills(7, count)) for count in (1, 3)] == [1, 3]
