"""A repeated line of the log appears once a minute."""

import logging

from moonmind_appliance.serving.repeated_lines import RepeatedLines, repeated_lines_left_out


def record(message: str, *args: object, error: Exception | None = None) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, None)
    return logging.LogRecord("a", logging.WARNING, __file__, 1, message, args, exc_info)


def test_the_same_message_passes_once_a_minute_and_says_how_many_were_left_out() -> None:
    """The client's address in it does not make it another message."""
    now = [0.0]
    lines = RepeatedLines(lambda: now[0])
    assert [lines.filter(record("Closed %s.", number)) for number in range(5)] == [True] + [False] * 4
    now[0] = 60
    later = record("Closed %s.", 9)
    assert lines.filter(later)
    assert later.getMessage() == "Closed 9. (4 more since the last such line)"
    now[0] = 120
    last = record("Closed %s.", 10)
    assert lines.filter(last)
    assert last.getMessage() == "Closed 10."


def test_other_messages_and_other_errors_pass() -> None:
    """A defect is not lost behind another one with the same first line."""
    lines = RepeatedLines(lambda: 0)
    records = [
        record("Exception in ASGI application", error=ValueError("a")),
        record("Exception in ASGI application", error=ValueError("b")),
        record("Exception in ASGI application"),
        record("Something else"),
    ]
    assert all(lines.filter(one) for one in records)
    assert not lines.filter(record("Exception in ASGI application", error=ValueError("b")))


def test_the_memory_of_messages_is_bounded() -> None:
    """Also if each has another template."""
    lines = RepeatedLines(lambda: 0)
    for number in range(5000):
        assert lines.filter(record(f"line {number}"))
    assert len(lines._seen) <= 1000


def test_the_filter_ends_with_the_server() -> None:
    """Loggers of libraries are as before."""
    logger = logging.getLogger("tests.serving")
    with repeated_lines_left_out("tests.serving"):
        assert len(logger.filters) == 1
    assert logger.filters == []
