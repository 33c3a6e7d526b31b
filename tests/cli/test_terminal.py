"""The format of terminal output."""

from datetime import UTC, datetime, timedelta

import pytest

from moonmind_appliance.cli.terminal import ago, clean, line

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain\ttext\nand more", "plain\ttext\nand more"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07bell\x07", "bell"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("back\x08\x08\rover\x9b2J", "backover2J"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("\u2066isolated\u2069", "isolated"),
        ("zero\u200bwidth\u2060joined\ufeff", "zerowidthjoined"),
        ("tag\U000e0041s", "tags"),
        ("two\u2028lines", "two\nlines"),
    ],
)
def test_external_text_cannot_control_the_terminal(text: str, expected: str) -> None:
    """Escape sequences and control characters are removed; tabs and line breaks stay."""
    assert clean(text) == expected


def test_line_is_one_line() -> None:
    """Each run of white space becomes one space."""
    assert line("  a\n\nb\tc ") == "a b c"


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        (timedelta(seconds=5), "5 s ago"),
        (timedelta(minutes=-80), "in 80 m"),
        (timedelta(days=-90, seconds=3), "in 90 d"),
        (timedelta(hours=30), "30 h ago"),
    ],
)
def test_ago_is_coarse(delta: timedelta, expected: str) -> None:
    """The largest suitable unit, for the past and the future."""
    assert ago(NOW - delta, NOW) == expected
