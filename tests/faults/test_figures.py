"""Times to recover, from the lives of processes and the claims in the events."""

import math

from tests.faults.figures import Life, Outage, claimed_after, quantile, resumed_after


def test_the_time_counts_from_the_start_of_the_process_that_claims_again() -> None:
    """A process that was killed before it claimed the run does not count."""
    lives = [
        Life(started=0, ended=10, executed={"a", "b"}),
        Life(started=11, ended=12),
        Life(started=13, ended=20),
    ]
    assert claimed_after(lives, [("a", 1), ("b", 2), ("a", 15), ("b", 14.5)]) == [2, 1.5]


def test_a_run_that_was_not_claimed_again_has_no_time() -> None:
    """It may have been cancelled."""
    assert claimed_after([Life(started=0, ended=10, executed={"a"}), Life(started=11)], [("a", 1)]) == []


def test_quantiles_are_values_that_occurred() -> None:
    """The smallest that so many do not exceed."""
    values = [float(number) for number in range(1, 101)]
    assert quantile(values, 0.5) == 50
    assert quantile(values, 0.99) == 99
    assert quantile([3.0], 0.99) == 3
    assert math.isnan(quantile([], 0.5))


def test_an_outage_interrupts_the_runs_that_are_claimed_before_the_next_one() -> None:
    """The time counts from the outage's end. A run that is not claimed again went on."""
    outages = [Outage(10, 15, {"a", "b"}), Outage(30, 35, {"a"})]
    assert resumed_after(outages, [("a", 1), ("b", 2), ("a", 17), ("a", 36), ("b", 50)]) == [2, 1]
    assert resumed_after([], [("a", 1)]) == []
