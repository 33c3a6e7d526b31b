"""The live table of runs: it stores the ids of all runs, and the rows near the visible ones."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from rich.style import Style
from rich.text import Text
from textual import events
from textual.message import Message

from moonmind_appliance.views.run_summary import RunRow
from tui.explain import short_waiting_text
from tui.lines import Lines
from tui.signs import PHASE_SIGNS, Palette, run_sign
from tui.text import age, fit, length, one_line, right

_WIDEST_REPOSITORY = 40
_NARROW, _WIDE, _WIDEST = 72, 112, 150


class Column(NamedTuple):
    """A column; `width` in cells, numbers are right-aligned."""

    name: str
    title: str
    width: int
    number: bool = False


class Cell(NamedTuple):
    """The text of one field and its tone."""

    text: str
    tone: str = "plain"


class Window(NamedTuple):
    """The rows that the table needs: those around line `top`, for a page of `height` lines."""

    top: int
    height: int

    def around(self, ids: Sequence[str]) -> Sequence[str]:
        """The ids of three pages."""
        return ids[max(0, self.top - self.height) : self.top + 2 * self.height]


def columns(width: int) -> list[Column]:
    """The columns that fit into that many cells, with one cell between them."""
    wide, widest = width >= _WIDE, width >= _WIDEST
    fixed = [
        Column("status", " STATUS", 12),
        Column("id", "ID", 8),
        Column("repository", "REPOSITORY", 0),
        Column("phases", "PHASES", 9),
        Column("age", "AGE", 4, number=True),
        Column("took", "TOOK", 5, number=True),
        Column("shard", "SH", 2, number=True),
        Column("note", "NOTE", 0),
    ]
    if wide:
        fixed.insert(3, Column("branch", "BRANCH", 12))
        fixed.append(Column("user", "WHO", 10))
    if widest:
        fixed.insert(4, Column("ref", "REF", 14))
    if width < _NARROW:
        fixed = [column for column in fixed if column.name not in {"took", "shard"}]
    free = width - sum(column.width for column in fixed) - (len(fixed) - 1)
    repository = max(8, min(_WIDEST_REPOSITORY, free - max(10, free * 2 // 5)))
    sizes = {"repository": repository, "note": max(10, free - repository)}
    return [column._replace(width=sizes.get(column.name, column.width)) for column in fixed]


def heading(width: int) -> str:
    """The columns' titles."""
    return " ".join(
        right(column.title, column.width) if column.number else fit(column.title, column.width)
        for column in columns(width)
    )


def cells(row: RunRow, now: datetime) -> dict[str, Cell]:
    """A run's fields except the phases, by the column's name."""
    run = row.summary
    sign = run_sign(run.status, waiting=run.waiting_for is not None)
    took = run.seconds(now)
    # A running run's time changes by the minute, a finished one's never.
    shown = "-" if took is None else length(took) if run.completed_at else age(took)
    note = Cell("dry run" if run.dry_run else one_line(run.created_by.username), "muted")
    if run.waiting_for is not None and not run.final:
        note = Cell(short_waiting_text(run.waiting_for, now), "waiting")
    elif run.failure is not None and run.final:
        note = Cell(run.failure.code.value, "bad")
    elif run.pull_request_url:
        note = Cell(f"draft PR #{one_line(run.pull_request_url).rpartition('/')[2]}", "link")
    return {
        "status": Cell(f" {sign.mark} {sign.word}", sign.tone),
        "id": Cell(run.short_id),
        "repository": Cell(one_line(run.repository), "strong"),
        "branch": Cell(one_line(run.base_branch), "muted"),
        "ref": Cell(one_line(run.external_ref or "-"), "muted"),
        "age": Cell(age((now - run.accepted_at).total_seconds()), "muted"),
        "took": Cell(shown),
        "shard": Cell("-" if run.shard is None else str(run.shard)),
        "note": note,
        "user": Cell(one_line(run.created_by.username), "muted"),
    }


def row_text(row: RunRow, width: int, now: datetime, palette: Palette) -> Text:
    """A run as a line of `width` cells."""
    text = Text(no_wrap=True, end="")
    fields = cells(row, now)
    for number, column in enumerate(columns(width)):
        if number:
            text.append(" ")
        if column.name == "phases":
            for status in row.phases:
                sign = PHASE_SIGNS[status]
                text.append(sign.mark, palette.tone(sign.tone))
            text.append(" " * (column.width - len(row.phases)))
            continue
        cell = fields[column.name]
        shown = right(cell.text, column.width) if column.number else fit(cell.text, column.width)
        text.append(shown, palette.tone(cell.tone))
    return text


class RunsTable(Lines):
    """The table. It requests rows by `RowsWanted`; `show` sets ids and rows. The cursor is an id, not a number."""

    class Resized(Message):
        """The widths of the columns changed."""

    class RowsWanted(Message):
        """Rows near the visible ones are missing."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.ids: Sequence[str] = ()
        self.rows: dict[str, RunRow] = {}
        self.follow = False
        self._painted: dict[int, Text] = {}
        self._wanted = False

    @property
    def line_count(self) -> int:
        """One line per run."""
        return len(self.ids)

    @property
    def selected_id(self) -> str | None:
        """The id under the cursor."""
        return self.ids[self.cursor] if self.cursor < len(self.ids) else None

    @property
    def selected(self) -> RunRow | None:
        """The run under the cursor; None until its row is read."""
        found = self.selected_id
        return None if found is None else self.rows.get(found)

    @property
    def window(self) -> Window:
        """The visible window."""
        return Window(round(self.scroll_y), self.size.height or self.app.size.height)

    def show(self, ids: Sequence[str], rows: Mapping[str, RunRow]) -> None:
        """Set the newest order and the rows around the window; repaints only the lines that changed."""
        self._wanted = False
        selected, old_cursor, top = self.selected_id, self.cursor, round(self.scroll_y)
        self.rows = dict(rows)
        if ids == self.ids:
            self.repaint_changed()
            return
        self.ids = ids
        cursor = old_cursor
        if self.follow or selected is None:
            cursor = 0
        elif not (old_cursor < len(ids) and ids[old_cursor] == selected):
            try:
                cursor = ids.index(selected)
            except ValueError:
                cursor = max(0, min(old_cursor, len(ids) - 1))
        if len(ids) != round(self.virtual_size.height):
            self._painted.clear()
            self.lines_changed()
        # Keep the run under the cursor at its place on the screen; at the top, new runs move it down.
        new_top = 0 if self.follow or top == 0 else max(0, top + cursor - old_cursor)
        if new_top == 0 and cursor >= self.size.height > 0:
            new_top = cursor - self.size.height + 1
        if new_top != top:
            self._show_from(new_top)
        self.cursor = cursor
        self.repaint_changed()

    def repaint_changed(self) -> None:
        """Repaint the visible lines whose text has changed."""
        top = round(self.scroll_y)
        visible = range(top, min(top + self.size.height, self.line_count))
        self.repaint_lines(y for y in visible if self._painted.get(y) != self._text(y))

    def line(self, y: int) -> Text:
        """A run; only its id while its row is being read."""
        text = self._text(y)
        self._painted[y] = text
        if len(self._painted) > 4 * max(1, self.size.height):
            self._painted = {y: text}
        if self.ids[y] not in self.rows and not self._wanted:
            self._wanted = True
            self.post_message(self.RowsWanted())
        return text.copy()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Enter is left to the page, whose key the footer shows."""
        return False if action == "open" else super().check_action(action, parameters)

    def on_resize(self, event: events.Resize) -> None:
        """Post `Resized`: the columns have new widths."""
        del event
        self._painted.clear()
        self.post_message(self.Resized())

    def _text(self, y: int) -> Text:
        run_id = self.ids[y]
        row = self.rows.get(run_id)
        palette: Palette = self.app.palette  # type: ignore[attr-defined] # the app of `tui.app`
        if row is None:
            return Text(f"{'':13}{run_id[:8]} …", palette.muted)
        return row_text(row, self.line_width, self.app.now(), palette)  # type: ignore[attr-defined] # as above

    @property
    def match_style(self) -> Style:
        """The theme's."""
        style: Style = self.app.palette.match  # type: ignore[attr-defined] # as above
        return style
