"""Files that an agent's container may have written are read within limits, or not at all."""

from datetime import UTC, datetime
from typing import Any

import pytest

from moonmind_appliance.agents.untrusted import (
    Unreadable,
    as_code,
    as_count,
    as_number,
    as_printable,
    as_text,
    as_time,
    as_window,
    read_json,
)
from moonmind_appliance.models import QuotaWindow

NAN, INFINITY = float("nan"), float("inf")
END = datetime(2030, 3, 17, 17, 46, 40, tzinfo=UTC)
SECONDS = 1_900_000_000


@pytest.mark.parametrize(
    ("rule", "content"),
    [
        ("nothing", b""),
        ("binary", b"\x7fELF\x02\x01\x00"),
        ("not UTF-8", b'{"a": "\xff"}'),
        ("half of it", b'{"a": '),
        ("more behind it", b"{} {}"),
        ("deep arrays", b"[" * 200_000),
        ("deep objects", b'{"a":' * 200_000),
        ("deep and complete", b"[" * 100_000 + b"]" * 100_000),
        ("not a number", b'{"a": NaN}'),
        ("infinity", b'{"a": -Infinity}'),
        ("a number that becomes infinity", b'{"a": 1e999}'),
        ("a number of many digits", b'{"a": ' + b"9" * 5000 + b"}"),
        ("a key twice", b'{"a": 1, "a": 2}'),
        ("a key twice, deeper", b'{"a": {"b": 1, "b": 2}}'),
        ("too large", b'"' + b"x" * 1_000_000 + b'"'),
    ],
)
def test_refused_data(rule: str, content: bytes) -> None:
    """Each case raises the same error, of a type that callers handle."""
    with pytest.raises(Unreadable):
        read_json(content, limit=600_000)
    assert rule


def test_accepted_data() -> None:
    """Plain JSON."""
    assert read_json(b'{"a": [1, 2.5, true, null, "\xc3\xa9"]}', limit=100) == {"a": [1, 2.5, True, None, "\u00e9"]}


@pytest.mark.parametrize("value", [None, True, "5", [], {}, NAN, INFINITY, -INFINITY, -1, 1001, 10**400, 1e308])
def test_invalid_percentages(value: Any) -> None:
    """Another type, not finite, negative, or too large."""
    assert as_number(value, lowest=0, highest=1000) is None
    assert as_window(value, 300, SECONDS) is None


@pytest.mark.parametrize("value", [None, True, "soon", [1], {"a": 1}, NAN, 3.5, 0, -300, 10**30])
def test_invalid_window_lengths(value: Any) -> None:
    """The window is reported without it."""
    assert as_count(value, lowest=1, highest=10_000) is None
    assert as_window(5, value, SECONDS) == QuotaWindow(5.0, None, END)


@pytest.mark.parametrize(
    "value",
    [None, True, "tomorrow", "2030-99-99", "9" * 5000, [], {}, NAN, INFINITY, -1, 0, 10**20, 1e300, 253_402_300_799],
)
def test_invalid_times(value: Any) -> None:
    """The window is reported without it; times before 2015 and after 2100 are invalid."""
    assert as_time(value) is None
    assert as_window(5, 300, value) == QuotaWindow(5.0, 300, None)


@pytest.mark.parametrize(
    "value", [SECONDS, float(SECONDS), "2030-03-17T17:46:40Z", "2030-03-17T18:46:40.000000000+01:00"]
)
def test_valid_times(value: Any) -> None:
    """Epoch seconds, and RFC 3339 with any zone and nanoseconds."""
    assert as_time(value) == END


@pytest.mark.parametrize(
    ("value", "text", "code", "printable"),
    [
        ("workspace_owner", "workspace_owner", "workspace_owner", "workspace_owner"),
        ("half \ud800", "half ?", "", None),
        ("\x1b]0;title\x07", "\x1b]0;title\x07", "", None),
        ("a\u202eb", "a\u202eb", "", None),
        ("x" * 100, "x" * 20, "", None),
        ("1st", "1st", "", "1st"),
        ("", "", "", None),
        (["a"], "", "", None),
        (None, "", "", None),
    ],
)
def test_texts(value: Any, text: str, code: str, printable: str | None) -> None:
    """A text for display is cut; a code or a name is complete or empty."""
    assert (as_text(value, longest=20), as_code(value), as_printable(value, longest=20)) == (text, code, printable)
