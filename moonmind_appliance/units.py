"""Durations and sizes as they are shown, and as settings write them."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_MOST_MINUTES, _MOST_HOURS = 60 * _MINUTE, 48 * _HOUR
_KILO = 1024
_SPAN_UNITS = (("d", _DAY), ("h", _HOUR), ("m", _MINUTE))
_SIZE_UNITS = (("g", _KILO**3), ("m", _KILO**2), ("k", _KILO))


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


def span_setting(seconds: int) -> str:
    """A time span as a setting writes it, in the largest unit without a fraction: 7d, 45m, 90s."""
    return next((f"{seconds // unit}{letter}" for letter, unit in _SPAN_UNITS if seconds % unit == 0), f"{seconds}s")


def size_setting(count: int) -> str:
    """A number of bytes as a setting writes it, in the largest unit without a fraction: 4g, 512m, 1000; zero is 0."""
    return next((f"{count // unit}{letter}" for letter, unit in _SIZE_UNITS if count and count % unit == 0), str(count))
