"""Texts are made safe and cut to fit; times are formatted."""

from datetime import timedelta

import pytest

from moonmind_appliance.units import size
from tests.tui.attached import NOW
from tui.text import age, clean, clock, countdown, fit, length, right


@pytest.mark.parametrize(
    ("seconds", "shown"), [(5, "<1m"), (59, "<1m"), (60, "1m"), (3599, "59m"), (3600, "1h"), (172_800, "2d")]
)
def test_ages_change_by_the_minute(seconds, shown):
    """Never by the second: nothing is repainted while nothing changes."""
    assert age(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "now"), (1, "10 s"), (10, "10 s"), (11, "20 s"), (60, "60 s"), (61, "2 min"), (7_500, "2 h 5 min")],
)
def test_countdowns(seconds, shown):
    """Every ten seconds in the last minute."""
    assert countdown(seconds) == shown


def test_lengths_sizes_and_clocks():
    """In common units."""
    assert [length(seconds) for seconds in (0.44, 42, 110, 7_800)] == ["0.4s", "42s", "1m50s", "2h10m"]
    assert [size(count) for count in (812, 4_300, 1 << 31)] == ["812 B", "4.2 KiB", "2.0 GiB"]
    assert clock(NOW, NOW) == "12:00"
    assert clock(NOW - timedelta(days=1), NOW) == "Sat 12:00"
    assert clock(NOW - timedelta(days=90), NOW) == "2025-12-01 12:00"


def test_fitting_counts_cells():
    """Wide characters count as two."""
    assert fit("\u6f22\u5b57", 3) == "\u6f22…"
    assert fit("ab", 4) == "ab  "
    assert right("12", 4) == "  12"
    assert clean("a\x1b]0;title\x07\tb\u202e") == "a    b"
