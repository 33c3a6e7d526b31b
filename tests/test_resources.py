"""One thread at a time, and not again for a while."""

import threading
from contextlib import suppress

from moonmind_appliance.resources import Throttle


def test_only_the_first_of_two_in_a_minute() -> None:
    """The pause counts from the end of the first."""
    throttle, turns = Throttle(), []
    for _ in range(2):
        with throttle.turn(60) as mine:
            turns.append(mine)
    assert turns == [True, False]
    with throttle.turn(0) as mine:
        assert mine


def test_another_thread_does_not_wait() -> None:
    """It is told at once that it has no turn."""
    throttle, turns = Throttle(), []

    def second() -> None:
        with throttle.turn(0) as mine:
            turns.append(mine)

    with throttle.turn(0):
        other = threading.Thread(target=second)
        other.start()
        other.join(10)
    assert turns == [False]


def test_a_failure_counts_as_a_turn() -> None:
    """What failed is not tried at once again."""
    throttle = Throttle()
    with suppress(ZeroDivisionError), throttle.turn(60):
        1 / 0  # noqa: B018 - raises
    with throttle.turn(60) as mine:
        assert not mine
