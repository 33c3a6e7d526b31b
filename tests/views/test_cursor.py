"""The cursor of a page of a list."""

import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest

from moonmind_appliance.errors import InvalidRequest
from moonmind_appliance.views.cursor import cursor_after, place_of

RUN = "0f3a9c1e-0000-4000-8000-000000000000"
AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize("at", [AT, AT.astimezone(timezone(timedelta(hours=9)))])
def test_a_cursor_gives_its_run_again(at: datetime) -> None:
    """The time is exact, and in UTC; the cursor needs no escaping in a URL."""
    cursor = cursor_after(at, RUN)
    assert place_of(cursor) == (AT, RUN)
    assert cursor.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "\N{SNOWMAN}",
        cursor_after(AT, "no-uuid"),
        cursor_after(AT.replace(tzinfo=None), RUN),
        base64.urlsafe_b64encode(b"[" * 50_000).decode(),
        base64.urlsafe_b64encode(f'["0001-01-01T00:00:00+23:59","{RUN}"]'.encode()).decode(),
    ],
)
def test_a_cursor_of_another_list_is_refused(cursor: str) -> None:
    """The error names the field."""
    with pytest.raises(InvalidRequest) as refused:
        place_of(cursor)
    assert [problem.field for problem in refused.value.fields] == ["cursor"]
