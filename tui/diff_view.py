"""Shows what a run changed: a summary, then the patch with its signs, in colour."""

from functools import partial

from rich.cells import cell_len
from rich.text import Text

from tui.lines import Lines
from tui.patch import Patch, PatchRow, RowKind, notes_of, read_patch, summary
from tui.screens.page import page_of
from tui.text import clean

# Longest line, in cells, for horizontal scrolling.
_WIDEST = 2_000
_TONES = {
    RowKind.FILE: "heading",
    RowKind.NOTE: "muted",
    RowKind.HUNK: "muted",
    RowKind.ADDED: "good",
    RowKind.REMOVED: "bad",
    RowKind.SAME: "plain",
}


class DiffView(Lines):
    """Shows one patch at a time. `show` may be called again."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self._rows: list[PatchRow] = []
        self._files: list[int] = []
        self._number = 0

    def show(self, patch: bytes, diff_summary: str = "") -> None:
        """Show a Git patch.

        Args:
            patch: the artifact `change.patch`.
            diff_summary: the artifact `diff_summary.md`, for the files that are not in the commit.
        """
        self._number += 1
        done = partial(self._show, self._number)
        page_of(self).run_in_background("", partial(_rows, patch, diff_summary), done)

    def next_file(self, step: int) -> None:
        """Go to the next file (1), or the previous one (-1)."""
        later = [y for y in self._files if y > self.cursor]
        earlier = [y for y in self._files if y < self.cursor]
        if step > 0 and later:
            self.go_to(later[0], middle=True)
        elif step < 0 and earlier:
            self.go_to(earlier[-1], middle=True)

    @property
    def line_count(self) -> int:
        """How many lines there are."""
        return len(self._rows)

    def line(self, y: int) -> Text:
        """A line in the colour of its kind; its sign is its first character."""
        row = self._rows[y]
        style = page_of(self).tui.palette.tone(_TONES[row.kind])
        return Text(clean(row.text[:_WIDEST]), style, no_wrap=True, end="")

    def plain(self, y: int) -> str:
        """A line's text."""
        return clean(self._rows[y].text)

    def _show(self, number: int, found: tuple[list[PatchRow], list[int], int]) -> None:
        if number != self._number or not self.is_attached:
            return
        self._rows, self._files, self.widest = found
        self.cursor = 0
        self.lines_changed()


def _rows(patch: bytes, diff_summary: str) -> tuple[list[PatchRow], list[int], int]:
    """The lines, those on which files begin, and the cells of the widest line."""
    read: Patch = read_patch(patch)
    head = [PatchRow(RowKind.SAME, line) for line in summary(read)]
    notes = [PatchRow(RowKind.NOTE, line) for line in notes_of(diff_summary)]
    rows = [*head, *([PatchRow(RowKind.SAME, ""), *notes] if notes else [])]
    files = []
    for file in read.files:
        rows.append(PatchRow(RowKind.SAME, ""))
        files.append(len(rows))
        rows += read.rows[file.row : file.end]
    widest = max((cell_len(row.text[:_WIDEST]) for row in rows), default=0)
    return rows, files, widest
