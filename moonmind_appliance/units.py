"""Durations and sizes as they are shown."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_MOST_MINUTES, _MOST_HOURS = 60 * _MINUTE, 48 * _HOUR
_KILO = 1024


def duration(seconds: float) -> str:
    """A duration in one or two units: 0.4 s, 42 s, 3 m 05 s, 2 h 10 m, 5 d."""
    if seconds < 9.95:  # noqa: PLR2004 - below ten seconds a decimal is useful
        return f"{max(seconds, 0.0):.1f} s"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _MOST_MINUTES:
        return f"{int(seconds) // _MINUTE} m {int(seconds) % _MINUTE:02d} s"
    if seconds < _MOST_HOURS:
        return f"{int(seconds) // _HOUR} h {int(seconds) % _HOUR // _MINUTE:02d} m"
    return f"{int(seconds) // _DAY} d"


def size(count: int) -> str:
    """A number of bytes in a suitable unit: 812 B, 4.2 KiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < _KILO:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= _KILO
    return f"{value:.1f} GiB"
