"""Durations and sizes as they are shown."""

import pytest

from moonmind_appliance.units import duration, size


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.95, "10 s"),
        (59, "59 s"),
        (60, "1 m 00 s"),
        (185, "3 m 05 s"),
        (3599, "59 m 59 s"),
        (3600, "1 h 00 m"),
        (7_800, "2 h 10 m"),
        (48 * 3600, "2 d"),
        (432_000, "5 d"),
    ],
)
def test_durations_have_one_or_two_units(seconds: float, shown: str) -> None:
    """A decimal only below ten seconds; hours up to two days."""
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (4_300, "4.2 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_sizes_have_a_binary_unit(count: int, shown: str) -> None:
    """GiB is the largest one."""
    assert size(count) == shown
