"""When a server asks for the next attempt."""

from datetime import UTC, datetime, timedelta

import pytest

from moonmind_appliance.retry_after import retry_time

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "after"),
    [
        ("0", timedelta()),
        ("120", timedelta(minutes=2)),
        (" 30 ", timedelta(seconds=30)),
        ("Sun, 01 Mar 2026 13:00:00 GMT", timedelta(hours=1)),
        ("Sun, 01 Mar 2026 13:00:00 +0100", timedelta()),
    ],
)
def test_seconds_or_a_date(header: str, after: timedelta) -> None:
    """Both forms of the specification."""
    assert retry_time(header, NOW) == NOW + after


@pytest.mark.parametrize("header", [None, "", "soon", "-5", "1.5", "1e9", "inf", "9" * 30, "Sun, 99 Mar 2026"])
def test_anything_else_is_no_time(header: str | None) -> None:
    """A wrong header is as good as none."""
    assert retry_time(header, NOW) is None
