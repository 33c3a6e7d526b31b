"""A call in a thread of its own."""

import threading

import pytest

from moonmind_appliance.phases.background import in_background, in_daemon


def test_the_result_is_that_of_the_call() -> None:
    """In a thread with that name."""
    assert in_background("agent", lambda: threading.current_thread().name).result(10) == "agent_0"
    assert in_daemon("egress", lambda: threading.current_thread().name).result(10) == "egress"


def test_an_error_is_raised_where_the_result_is_read() -> None:
    """Nothing is lost."""

    def fail() -> None:
        raise KeyError("name")

    with pytest.raises(KeyError, match="name"):
        in_background("agent", fail).result(10)
    with pytest.raises(KeyError, match="name"):
        in_daemon("agent", fail).result(10)


def test_the_end_of_the_process_waits_for_no_daemon() -> None:
    """It waits for other work."""
    assert in_daemon("agent", lambda: threading.current_thread().daemon).result(10)
    assert not in_background("agent", lambda: threading.current_thread().daemon).result(10)
