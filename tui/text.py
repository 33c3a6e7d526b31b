"""Makes texts of others safe and cuts them to fit; formats times."""

from datetime import datetime

from rich.cells import cell_len, set_cell_size

from moonmind_appliance.printable import strip
from moonmind_appliance.units import duration

_TAB = 4
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_MANY_MINUTES, _MANY_HOURS = 60 * _MINUTE, 48 * _HOUR


def clean(text: str) -> str:
    """The text without control and invisible characters, tabs as spaces. Line breaks stay."""
    return strip(text.replace("\t", " " * _TAB))


def one_line(text: str) -> str:
    """`clean`, with every run of white space as one space."""
    return " ".join(clean(text).split())


def fit(text: str, width: int) -> str:
    """The text in exactly `width` cells; a longer text is cut and ends with `…`."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…"


def right(text: str, width: int) -> str:
    """`fit`, right-aligned."""
    return " " * max(0, width - cell_len(text)) + fit(text, min(width, cell_len(text)))


def age(seconds: float) -> str:
    """An age that changes by the minute, in at most four cells: <1m, 12m, 3h, 5d."""
    if seconds < _MINUTE:
        return "<1m"
    if seconds < _MANY_MINUTES:
        return f"{int(seconds // _MINUTE)}m"
    if seconds < _MANY_HOURS:
        return f"{int(seconds // _HOUR)}h"
    return f"{int(seconds // _DAY)}d"


def length(seconds: float) -> str:
    """A duration without spaces: 0.4s, 42s, 3m05s, 2h10m, 5d."""
    return duration(seconds).replace(" ", "")


def countdown(seconds: float) -> str:
    """Time left: in minutes, in the last minute in steps of ten seconds; "now" at its end."""
    if seconds <= 0:
        return "now"
    if seconds <= _MINUTE:
        return f"{-(-int(seconds) // 10) * 10 or 10} s"
    minutes = -(-int(seconds) // _MINUTE)
    if minutes < _MANY_MINUTES // _MINUTE:
        return f"{minutes} min"
    if minutes < _MANY_HOURS // _MINUTE:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // (24 * 60)} d"


def clock(at: datetime, now: datetime) -> str:
    """A time of day on this machine, with the date unless it is today: 14:20, Mon 14:20, 2026-11-03 14:20."""
    here, today = at.astimezone(), now.astimezone()
    if here.date() == today.date():
        return f"{here:%H:%M}"
    if abs((at - now).total_seconds()) < 6 * _DAY:
        return f"{here:%a %H:%M}"
    return f"{here:%Y-%m-%d %H:%M}"
