"""Converts log lines around a position to screen rows: cleaned, wrapped or cut, Codex's events as text. Pure."""

from typing import NamedTuple

from rich.cells import cell_len, chop_cells

from moonmind_appliance.agents.codex_events import LineKind, event_lines
from tui.log_index import LogIndex
from tui.text import clean

# Longest row, in cells, for horizontal scrolling; `w` wraps longer lines.
WIDEST = 4_000

_BATCH = 64
_TONES = {
    LineKind.MESSAGE: ("", "plain"),
    LineKind.REASONING: ("", "muted"),
    LineKind.COMMAND: ("", "heading"),
    LineKind.OUTPUT: ("  ", "muted"),
    LineKind.FILES: ("~ ", "good"),
    LineKind.PLAN: ("", "plain"),
    LineKind.USAGE: ("= ", "muted"),
    LineKind.ERROR: ("", "bad"),
    LineKind.OTHER: ("", "muted"),
    LineKind.TEXT: ("", "plain"),
}


class RowFormat(NamedTuple):
    """How lines become rows.

    `width`: cells to wrap lines at; 0 cuts them. `events`: show lines that are Codex's events as text.
    """

    width: int = 0
    events: bool = False


class Row(NamedTuple):
    """A row of the screen: part `part` of line `line`, clean, in the tone of that name.

    `broken`: it continues the wrapped row before it.
    """

    line: int
    part: int
    text: str
    tone: str = "plain"
    broken: bool = False

    @property
    def position(self) -> tuple[int, int]:
        """The sort key of rows."""
        return self.line, self.part


class Rows(NamedTuple):
    """Consecutive rows; `at_start` and `at_end` say whether there are none before and after them."""

    rows: list[Row]
    at_start: bool
    at_end: bool


def rows_of(number: int, line: bytes, row_format: RowFormat) -> list[Row]:
    """The rows of one line: one, several, or none for an event without text."""
    text = line.decode(errors="replace").rstrip("\r")
    found = [("", "plain", text)]
    if row_format.events:
        found = [(*_TONES[event.kind], event.text) for event in event_lines(text)]
    rows: list[Row] = []
    for prefix, tone, content in found:
        for part, shown in enumerate(broken(prefix + clean(content).replace("\n", " "), row_format.width)):
            rows.append(Row(number, len(rows), shown, tone, broken=part > 0))
    return rows


def broken(text: str, width: int) -> list[str]:
    """The text in parts of at most `width` cells; with width 0 in one part, cut."""
    if width <= 0:
        return [text if len(text) <= WIDEST else f"{text[:WIDEST]} … w breaks the line"]
    if text.isascii():
        return [text[start : start + width] for start in range(0, len(text), width)] or [""]
    if cell_len(text) <= width:
        return [text]
    return chop_cells(text, width)


def rows_around(index: LogIndex, line: int, before: int, after: int, row_format: RowFormat) -> Rows:
    """At least `before` rows before that line, and `after` rows from it on, as far as there are any.

    Reads from disk. Skips any number of events without text.
    """
    count = index.line_count
    line = max(0, min(line, count))
    below: list[Row] = []
    following = line
    while len(below) < after and following < count:
        lines = index.read(following, _BATCH)
        for number, content in enumerate(lines, following):
            below += rows_of(number, content, row_format)
        following += len(lines) or _BATCH
    above: list[Row] = []
    first = line
    while len(above) < before and first > 0:
        start = max(0, first - _BATCH)
        batch: list[Row] = []
        for number, content in enumerate(index.read(start, first - start), start):
            batch += rows_of(number, content, row_format)
        above = batch + above
        first = start
    return Rows(above + below, at_start=first == 0, at_end=following >= count)
