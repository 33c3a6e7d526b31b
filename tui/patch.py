"""Reads a run's patch for display: the changed files with their counts, and each line with its kind. Pure."""

import re
from enum import StrEnum
from typing import NamedTuple

from moonmind_appliance.in_container.git import shown
from moonmind_appliance.in_container.git_patch import unquote_path
from moonmind_appliance.phases.diff_summary import HEADINGS

_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_NAME = re.compile(rb'^(?:---|\+\+\+) ("?[ab]/.+?)\t?$')
_GIT_HEADER = re.compile(rb'^diff --git ("?a/.+) ("?b/.+)$')
_DROPPED = (b"index ", b"--- ", b"+++ ", b"new file mode", b"deleted file mode")
_STATUS_LETTERS = {"added": "A", "deleted": "D", "modified": "M"}
_BAR_WIDTH = 10


class RowKind(StrEnum):
    """The kind of a row of a patch. `NOTE` is a fact about the row before or the file."""

    FILE = "file"
    NOTE = "note"
    HUNK = "hunk"
    ADDED = "added"
    REMOVED = "removed"
    SAME = "same"


class PatchRow(NamedTuple):
    """One row, with its sign in the first column if it is a line of a file. Not cleaned of control characters."""

    kind: RowKind
    text: str


class ChangedFile(NamedTuple):
    """One file of the patch. `status` is added, deleted or modified; `row` is where it begins in the rows."""

    path: str
    status: str
    added: int
    removed: int
    row: int
    end: int


class Patch(NamedTuple):
    """The files, and all rows."""

    files: list[ChangedFile]
    rows: list[PatchRow]

    def added_text(self, ending: str) -> str | None:
        """The text of the file that the patch adds and whose path has that ending, or None.

        `ending` must begin at a part of the path: `spec.md` finds `specs/001/spec.md`, not `my-spec.md`.
        """
        for file in self.files:
            if file.status == "added" and f"/{file.path}".endswith(f"/{ending}"):
                lines = [row.text[1:] for row in self.rows[file.row : file.end] if row.kind is RowKind.ADDED]
                return "\n".join(lines) + "\n" if lines else ""
        return None


class _Reader:
    """Reads line by line; inside a hunk the header's counts say how many lines belong to it."""

    def __init__(self) -> None:
        self.files: list[ChangedFile] = []
        self.rows: list[PatchRow] = []
        self._path, self._status, self._begun = "", "modified", 0
        self._added = self._removed = 0
        self._old_left = self._new_left = 0

    def read(self, line: bytes) -> None:
        if self._old_left > 0 or self._new_left > 0:
            self._inside(line)
        elif header := _GIT_HEADER.match(line):
            self.end_file()
            self._begin_file(shown(unquote_path(header[2])))
        elif hunk := _HUNK.match(line):
            self._old_left, self._new_left = (1 if count is None else int(count) for count in hunk.groups())
            self._add(RowKind.HUNK, line)
        elif line.startswith(_DROPPED):
            self._header(line)
        elif line:
            self._add(RowKind.NOTE, line)

    def end_file(self) -> None:
        if not self._path:
            return
        file = ChangedFile(self._path, self._status, self._added, self._removed, self._begun, len(self.rows))
        self.files.append(file)
        self.rows[self._begun] = PatchRow(RowKind.FILE, f"{file.path}  {file.status}, +{file.added} -{file.removed}")

    def _begin_file(self, path: str) -> None:
        self._path, self._status, self._begun = path, "modified", len(self.rows)
        self._added = self._removed = 0
        # Replaced after the lines are counted.
        self.rows.append(PatchRow(RowKind.FILE, path))

    def _header(self, line: bytes) -> None:
        if line.startswith(b"new file mode"):
            self._status = "added"
        elif line.startswith(b"deleted file mode"):
            self._status = "deleted"
        elif name := _NAME.match(line):
            # The line above names the file, too, but is ambiguous if a path has blanks.
            self._path = shown(unquote_path(name[1]))

    def _inside(self, line: bytes) -> None:
        if line.startswith(b"+"):
            self._new_left -= 1
            self._added += 1
            self._add(RowKind.ADDED, line)
        elif line.startswith(b"-"):
            self._old_left -= 1
            self._removed += 1
            self._add(RowKind.REMOVED, line)
        elif line.startswith(b"\\"):
            self._add(RowKind.NOTE, line)
        else:
            self._old_left -= 1
            self._new_left -= 1
            self._add(RowKind.SAME, line)

    def _add(self, kind: RowKind, line: bytes) -> None:
        self.rows.append(PatchRow(kind, line.decode(errors="replace")))


def read_patch(patch: bytes) -> Patch:
    """Read a unified Git patch; 10 MiB take about a second, so do not call it in the event loop."""
    reader = _Reader()
    for line in patch.split(b"\n"):
        reader.read(line)
    reader.end_file()
    return Patch(reader.files, reader.rows)


def summary(patch: Patch) -> list[str]:
    """One line for the whole patch, then one for each file: letter, lines added and removed, a bar, the path."""
    if not patch.files:
        return ["No file changed."]
    added, removed = (sum(getattr(file, name) for file in patch.files) for name in ("added", "removed"))
    count = "1 file" if len(patch.files) == 1 else f"{len(patch.files)} files"
    most = max(*(file.added + file.removed for file in patch.files), 1)
    digits = [max(len(str(getattr(file, name))) for file in patch.files) + 1 for name in ("added", "removed")]
    lines = [f"{count} changed, {added} lines added, {removed} removed."]
    for file in patch.files:
        bar = _bar(file, most)
        counts = f"{f'+{file.added}':>{digits[0]}} {f'-{file.removed}':>{digits[1]}}"
        lines.append(f" {_STATUS_LETTERS[file.status]} {counts} {bar:<{_BAR_WIDTH}} {file.path}")
    return lines


def _bar(file: ChangedFile, most: int) -> str:
    total = file.added + file.removed
    width = -(-total * _BAR_WIDTH // most)
    plus = round(width * file.added / total) if total else 0
    return "+" * plus + "-" * (width - plus)


def notes_of(diff_summary: str) -> list[str]:
    """The other lines of the artifact `diff_summary.md`: files that are not in the commit or need a check, and why."""
    lines = diff_summary.splitlines()
    start = next(
        (number for number, line in enumerate(lines) if line in HEADINGS),
        len(lines),
    )
    return [line for line in lines[start:] if line]
