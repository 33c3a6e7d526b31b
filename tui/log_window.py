"""The rows of a log that were read: a window on it, whose rows keep their numbers when it moves. Pure."""

from tui.log_page import Row, Rows

# Leaves room for the numbers of rows that are read later, before and after the first ones.
_MIDDLE = 1 << 40


class LogWindow:
    """Consecutive rows, numbered from `first`; `top` is the number of the row at the top of the screen."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.first = _MIDDLE
        self.top = _MIDDLE
        self.at_start = self.at_end = True

    @property
    def last(self) -> int:
        """The number of the last row; `first` - 1 if there are no rows."""
        return self.first + len(self.rows) - 1

    def replace(self, read: Rows) -> bool:
        """Contain these rows instead. A row that was in the window keeps its number; False if none was."""
        known = {row.position: number for number, row in enumerate(self.rows, self.first)}
        self.rows, self.at_start, self.at_end = read.rows, read.at_start, read.at_end
        for index, row in enumerate(self.rows):
            if row.position in known:
                self.first = known[row.position] - index
                return True
        self.first = _MIDDLE
        return False

    def row(self, number: int) -> Row | None:
        """The row of that number; None if it is outside."""
        return self.rows[number - self.first] if self.first <= number <= self.last else None

    def number_of(self, line: int) -> int:
        """The number of the first row of that line, or of the next line with rows."""
        for number, row in enumerate(self.rows, self.first):
            if row.line >= line:
                return number
        return max(self.first, self.last)

    def line_of(self, number: int) -> int:
        """The line of that row, or of the nearest row; 0 if there are no rows."""
        return self.rows[self.nearest(number) - self.first].line if self.rows else 0

    def nearest(self, number: int) -> int:
        """That number, or the nearest one of a row."""
        return max(self.first, min(number, self.last))

    def top_for(self, number: int, height: int) -> int:
        """That number as the top of a screen of `height` rows, without empty rows at its end."""
        return max(self.first, min(number, self.last - height + 1))

    def whole_line(self, number: int) -> str:
        """The text of the line at that row, with wrapped rows joined; "" outside."""
        if self.row(number) is None:
            return ""
        first = number - self.first
        while first > 0 and self.rows[first].broken:
            first -= 1
        last = first + 1
        while last < len(self.rows) and self.rows[last].broken:
            last += 1
        return "".join(row.text for row in self.rows[first:last])
