"""Tables that fit the terminal: words stay whole; what is too wide loses columns, and at last becomes a list."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_GAP = "  "
# A cell of prose is readable from this width on.
_PROSE = 20
# A too long word is broken after these characters, if that is enough.
_BREAKS = re.compile(r"[^/@,:]*[/@,:]+|[^/@,:]+")


class Column(NamedTuple):
    """A column. If there is no room, those with `below` continue the cell on their left, and those with the highest
    `optional` are left out first; 0 is never left out."""  # noqa: D205, D209 - one sentence

    heading: str
    right: bool = False
    below: bool = False
    optional: int = 0


class Rows:
    """A table. Cells are `Text` or plain text; a cell may contain line breaks."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = list(columns)
        self._rows: list[list[Text]] = []

    @property
    def row_count(self) -> int:
        """The number of rows."""
        return len(self._rows)

    def add_row(self, *cells: Text | str) -> None:
        """Add a row, with a cell for each column."""
        self._rows.append([cell if isinstance(cell, Text) else Text(cell) for cell in cells])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines, none wider than the terminal."""
        shown = list(range(len(self._columns)))
        if self._widths(shown, options.max_width) is None and any(column.below for column in self._columns):
            yield from self._narrow().__rich_console__(console, options)
            return
        while (widths := self._widths(shown, options.max_width)) is None:
            last = max(shown, key=lambda index: self._columns[index].optional)
            if self._columns[last].optional:
                shown.remove(last)
                continue
            widths = self._widths(shown, options.max_width, _longest_part)
            if widths is None:
                yield from self._as_list(options.max_width)
                return
            break
        headings = [Text(self._columns[index].heading, "bold") for index in shown]
        if any(heading.plain for heading in headings):
            yield from self._lines(headings, shown, widths)
            yield Text("─" * (sum(widths) + len(_GAP) * (len(widths) - 1)), no_wrap=True)
        for row in self._rows:
            yield from self._lines([row[index] for index in shown], shown, widths)

    def _narrow(self) -> "Rows":
        """The same, with the cells of the columns `below` on lines of their own under the cells on their left."""
        made = Rows([column for column in self._columns if not column.below])
        for row in self._rows:
            cells: list[Text] = []
            for column, cell in zip(self._columns, row, strict=True):
                if not column.below:
                    cells.append(cell)
                elif cell.plain:
                    cells[-1] = Text.assemble(cells[-1], "\n", "→ ", cell)
            made.add_row(*cells)
        return made

    def _widths(
        self, shown: Sequence[int], room: int, unbroken: Callable[[Text], int] | None = None
    ) -> list[int] | None:
        """The width of each column; None if what stays `unbroken` in its cells, by default words, does not fit."""
        unbroken = unbroken or _longest_word
        cells = [[Text(self._columns[index].heading), *(row[index] for row in self._rows)] for index in shown]
        wanted = [max(_longest_line(cell) for cell in column) for column in cells]
        needed = [
            max(min(wide, _PROSE), *(unbroken(cell) for cell in column))
            for wide, column in zip(wanted, cells, strict=True)
        ]
        room -= len(_GAP) * (len(shown) - 1)
        if sum(needed) > room:
            return None
        # The narrower columns get what they want first.
        widths = needed
        for place in sorted(range(len(shown)), key=lambda each: wanted[each]):
            widths[place] += min(wanted[place] - widths[place], room - sum(widths))
        return widths

    def _lines(self, cells: Sequence[Text], shown: Sequence[int], widths: Sequence[int]) -> Iterator[Text]:
        wrapped = [wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
        for number in range(max(len(lines) for lines in wrapped)):
            line = Text(no_wrap=True)
            for index, lines, width in zip(shown, wrapped, widths, strict=True):
                part = lines[number].copy() if number < len(lines) else Text()
                blanks = " " * (width - cell_len(part.plain))
                right = self._columns[index].right
                line.append(blanks if right else "").append_text(part).append(_GAP if right else blanks + _GAP)
            line.rstrip()
            yield line

    def _as_list(self, room: int) -> Iterator[Text]:
        """Each row as lines of `heading  value`, with an empty line between rows; cells without a heading lead."""
        names = max(cell_len(column.heading) for column in self._columns)
        for number, row in enumerate(self._rows):
            if number:
                yield Text()
            mark = Text()
            for column, cell in zip(self._columns, row, strict=True):
                if not column.heading:
                    mark = cell
                    continue
                if not cell.plain.strip():
                    continue
                lead = Text.assemble((f"{column.heading:<{names}}{_GAP}", "dim"))
                if mark.plain:
                    lead = Text.assemble(mark, " ", lead)
                    mark = Text(" " * cell_len(mark.plain))
                yield from _named(lead, cell, room)


class Facts:
    """Names and values, a pair a line; a value that is too wide continues below itself."""

    def __init__(self, pairs: Sequence[tuple[str, Text]]) -> None:
        self._pairs = pairs

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines, none wider than the terminal."""
        names = max((cell_len(name) for name, _ in self._pairs), default=0)
        for name, value in self._pairs:
            yield from _named(Text(f"{name:<{names}}{_GAP}", "dim"), value, options.max_width)


def wrap(text: Text, width: int) -> list[Text]:
    """Lines of at most that width, broken at spaces; inside a word only if it is wider than a line."""
    return [line for paragraph in text.split("\n", allow_blank=True) for line in _wrap_line(paragraph, width)]


def _named(lead: Text, value: Text, room: int) -> Iterator[Text]:
    """The value after `lead`, and its other lines below its first one."""
    for line in wrap(value, max(1, room - cell_len(lead.plain))):
        yield Text.assemble(lead, line, no_wrap=True)
        lead = Text(" " * cell_len(lead.plain))


def _wrap_line(text: Text, width: int) -> list[Text]:
    if cell_len(text.plain) <= width:
        return [text]
    lines, start, end = [], 0, 0
    for piece in _pieces(text.plain, width):
        if end > start and cell_len(text.plain[start : end + len(piece.rstrip())]) > width:
            lines.append((start, end))
            start = end
        end += len(piece)
    lines.append((start, end))
    found = [text[begin:stop] for begin, stop in lines]
    for line in found:
        line.rstrip()
    return found


def _pieces(plain: str, width: int) -> Iterator[str]:
    """Words with the spaces after them; of a word that is too wide its parts, at worst its characters."""
    words = re.findall(r"\S+\s*", plain)
    if words:
        words[0] = plain[: len(plain) - len(plain.lstrip())] + words[0]
    for word in words:
        if cell_len(word.strip()) <= width:
            yield word
            continue
        for part in _BREAKS.findall(word):
            if cell_len(part.strip()) <= width:
                yield part
            else:
                yield from part


def _longest_line(text: Text) -> int:
    return max(cell_len(line) for line in text.plain.split("\n"))


def _longest_word(text: Text) -> int:
    return max((cell_len(word) for word in text.plain.split()), default=0)


def _longest_part(text: Text) -> int:
    return max((cell_len(part) for word in text.plain.split() for part in _BREAKS.findall(word)), default=0)
