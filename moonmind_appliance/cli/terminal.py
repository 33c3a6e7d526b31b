"""Terminal output: consoles, formats of times and sizes, colours of states, removal of control characters."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.text import Text

from moonmind_appliance.cli.layout import Column, Facts, Rows
from moonmind_appliance.printable import strip

# Piped output has no width: keep each row of a table on one line.
_PIPED_WIDTH = 4096
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_MOST_MINUTES, _MOST_HOURS = 90 * _MINUTE, 48 * _HOUR

STYLES = {
    "queued": "yellow",
    "in_progress": "cyan",
    "succeeded": "green",
    "no_changes": "green",
    "failed": "bold red",
    "cancelled": "magenta",
    "pending": "dim",
    "running": "cyan",
    "retrying": "yellow",
    "skipped": "dim",
    "present": "green",
    "absent": "yellow",
    "dead": "bold red",
    "refused": "bold red",
    "unknown": "dim",
    "ok": "green",
    "note": "yellow",
    "wrong": "bold red",
}
MARKS = {
    "pending": "·",
    "running": "▸",
    "retrying": "↻",
    "succeeded": "✔",
    "failed": "✖",
    "skipped": "-",
    "ok": "✔",
    "note": "!",
    "wrong": "✖",
}


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr: colour on a terminal only, and not with NO_COLOR; no markup, no highlighting."""
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made = Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=_PIPED_WIDTH)
    return made


def clean(text: str) -> str:
    """The text without escape sequences and invisible characters; tabs and line breaks stay.

    Agents, repositories and callers could use them to control the terminal or to falsify the text.
    """
    return strip(text)


def line(text: str) -> str:
    """`clean`, on one line."""
    return " ".join(clean(text).split())


def state(word: str) -> Text:
    """A status in its colour."""
    return Text(clean(word), STYLES.get(word, ""))


def table(*headings: str, right: Iterable[str] = (), below: str = "", optional: Sequence[str] = ()) -> Rows:
    """An empty table. The columns in `right` are right-aligned.

    If there is no room, the column `below` continues the one on its left, and those in `optional` are left out, the
    last one first.
    """
    rank = {heading: number for number, heading in enumerate(optional, 1)}
    return Rows([Column(name, name in right, name == below, rank.get(name, 0)) for name in headings])


def facts(pairs: Iterable[tuple[str, str | Text]]) -> Facts:
    """Names and values in two columns; pairs without a value are left out."""
    return Facts([(name, value if isinstance(value, Text) else Text(clean(value))) for name, value in pairs if value])


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """The time since that moment, or until it; "" for no time."""
    if at is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    return f"in {_coarse(-seconds)}" if seconds < -1 else f"{_coarse(seconds)} ago"


def clock(at: datetime | None) -> str:
    """A local time of day, with the date unless it is near."""
    if at is None:
        return ""
    here = at.astimezone()
    near = abs(datetime.now(UTC) - at) < timedelta(hours=12)
    return f"{here:%H:%M:%S}" if near else f"{here:%Y-%m-%d %H:%M}"


def _coarse(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{max(seconds, 0):.0f} s"
    if seconds < _MOST_MINUTES:
        return f"{seconds / _MINUTE:.0f} m"
    if seconds < _MOST_HOURS:
        return f"{seconds / _HOUR:.0f} h"
    return f"{seconds / _DAY:.0f} d"
