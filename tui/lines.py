"""A view of numbered lines that renders only the visible ones; the base of tables, logs and documents."""

from collections.abc import Iterable
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Offset, Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from tui.keys import Where, bindings

MOST_COPIED_LINES = 10_000
_WHEEL_LINES = 3


class Lines(ScrollView, can_focus=True):
    """Lines with a cursor, selection by mouse, and search.

    A subclass provides `line_count` and `line`, and calls `lines_changed` when they change. The cursor moves inside the
    page, which repaints two lines; at the edge the view jumps by half a page, which repaints the page.
    """

    BINDINGS = bindings(Where.LINES)
    COMPONENT_CLASSES: ClassVar[set[str]] = {"lines--cursor", "lines--cursor-focused", "lines--selection"}
    DEFAULT_CSS = """
    Lines {
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 1;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-gutter: stable;
    }
    """

    cursor: reactive[int] = reactive(0, repaint=False, init=False)
    has_cursor: bool = True
    widest: int = 0
    """Cells of the widest line, if the lines scroll horizontally; 0: lines fit the width."""

    class CursorMoved(Message):
        """The cursor moved to another line."""

        def __init__(self, lines: "Lines") -> None:
            super().__init__()
            self.lines = lines

        @property
        def control(self) -> "Lines":
            """The view."""
            return self.lines

    class Opened(Message):
        """Enter, or a click on the line under the cursor."""

        def __init__(self, lines: "Lines") -> None:
            super().__init__()
            self.lines = lines

        @property
        def control(self) -> "Lines":
            """The view."""
            return self.lines

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self.needle = ""

    # For subclasses to implement.

    @property
    def line_count(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    def line(self, y: int) -> Text:
        """Line `y`, without control characters, not wider than the view; called for visible lines only."""
        raise NotImplementedError

    def plain(self, y: int) -> str:
        """The characters of line `y`, for copying and search."""
        return self.line(y).plain

    @property
    def line_width(self) -> int:
        """Cells of a line. The scrollbar's column stays free, so that its appearance does not change the width."""
        return self.scrollable_content_region.width

    # For subclasses and screens to call.

    def lines_changed(self) -> None:
        """Repaint everything, with the new number of lines."""
        self.virtual_size = Size(self.widest or 0, self.line_count)
        last = max(0, self.line_count - 1)
        self.cursor = min(self.cursor, last)
        self.refresh()

    def repaint_lines(self, lines: Iterable[int]) -> None:
        """Repaint the visible ones of these lines."""
        top = round(self.scroll_y)
        for y in lines:
            if top <= y < top + self.size.height:
                self.refresh(Region(0, y - top, self.size.width, 1))

    def go_to(self, y: int, *, middle: bool = False) -> None:
        """Move the cursor to line `y` and show it; `middle`: in the middle of the page if the view has to jump."""
        if not self.line_count:
            return
        y = max(0, min(y, self.line_count - 1))
        top, height = round(self.scroll_y), max(1, self.size.height)
        if not top <= y < top + height:
            if middle or abs(y - self.cursor) > height:
                new_top = y - height // 2
            elif y < top:
                new_top = y - height // 2 + 1 if height > 1 else y
            else:
                new_top = y - height // 2
            self._show_from(max(0, new_top))
        self.cursor = y

    def _show_from(self, top: int) -> None:
        self.scroll_to(y=top, animate=False, force=True)

    def find(self, needle: str, *, start: int, step: int = 1) -> int | None:
        """The first line from `start` on that contains the text in any case, in direction `step`, with wrap-around."""
        wanted = needle.casefold()
        count = self.line_count
        for distance in range(count):
            y = (start + distance * step) % count
            if wanted in self.plain(y).casefold():
                return y
        return None

    def show_needle(self, needle: str) -> None:
        """Highlight each occurrence of this text; "" removes the highlights."""
        if needle != self.needle:
            self.needle = needle
            self.refresh()

    # Painting.

    def render_line(self, y: int) -> Strip:
        """One visible line."""
        scroll_x, scroll_y = self.scroll_offset
        row = scroll_y + y
        width = self.size.width
        base = self.rich_style
        if row >= self.line_count:
            return Strip.blank(width, base)
        text = self.line(row)
        return self.paint(text, row, scroll_x, base, cursor=self.has_cursor and row == self.cursor)

    def paint(self, text: Text, row: int, scroll_x: int, base: Style, *, cursor: bool) -> Strip:
        """The line as cells, with the highlights of search and selection, and the cursor."""
        if self.needle:
            self._mark(text)
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(row)) is not None:
            start, end = span
            style = self.get_component_rich_style("lines--selection", partial=True)
            text.stylize(style, start, len(text.plain) if end == -1 else end)
        if cursor:
            focused = self.has_focus or self.screen.focused is None
            base += self.get_component_rich_style("lines--cursor-focused" if focused else "lines--cursor", partial=True)
        text.end = ""
        if text.style and not text.spans:
            # Rich leaves out the style of a text without spans.
            text.stylize(text.style)
        strip = Strip(list(text.render(self.app.console)))
        # Join neighbours of the same style into one segment: each segment sends its colours to the terminal.
        strip = strip.crop_extend(scroll_x, scroll_x + self.size.width, None).apply_style(base).simplify()
        return strip.apply_offsets(scroll_x, row)

    def _mark(self, text: Text) -> None:
        plain, needle = text.plain.lower(), self.needle.lower()
        if len(plain) != len(text.plain):
            return
        style = self.match_style
        place = plain.find(needle)
        while place >= 0:
            text.stylize(style, place, place + len(needle))
            place = plain.find(needle, place + len(needle))

    @property
    def match_style(self) -> Style:
        """The style of a search match."""
        return Style(reverse=True)

    # Selection by mouse.

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text, at most `MOST_COPIED_LINES` lines."""
        first = selection.start.y if selection.start else 0
        last = selection.end.y if selection.end else self.line_count - 1
        last = min(last, self.line_count - 1, first + MOST_COPIED_LINES - 1)
        taken = []
        for y in range(first, last + 1):
            span = selection.get_span(y)
            if span is None:
                continue
            start, end = span
            plain = self.plain(y)
            taken.append(plain[start : len(plain) if end == -1 else end].rstrip())
        return "\n".join(taken), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Repaint with the new selection."""
        del selection
        self.refresh()

    # Moving.

    def watch_cursor(self, old: int, new: int) -> None:
        """Repaint the two lines."""
        if self.has_cursor:
            self.repaint_lines((old, new))
        self.post_message(self.CursorMoved(self))

    def action_cursor(self, by: int) -> None:
        """Move by lines."""
        if not self.has_cursor:
            self._show_from(max(0, round(self.scroll_y) + by))
            return
        self.go_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move by pages, with one line of the old page left."""
        step = max(1, self.size.height - 1) * by
        top = max(0, min(round(self.scroll_y) + step, max(0, self.line_count - self.size.height)))
        offset = self.cursor - round(self.scroll_y)
        moved = top != round(self.scroll_y)
        self._show_from(top)
        if self.has_cursor:
            edge = self.line_count - 1 if by > 0 else 0
            self.cursor = max(0, min(top + offset, self.line_count - 1)) if moved else max(0, edge)

    def action_first(self) -> None:
        """Go to the first line."""
        self._show_from(0)
        self.cursor = 0

    def action_last(self) -> None:
        """Go to the last line."""
        self._show_from(max(0, self.line_count - self.size.height))
        self.cursor = max(0, self.line_count - 1)

    def action_sideways(self, by: int) -> None:
        """Scroll horizontally, if lines are wider than the view."""
        if self.widest > self.size.width:
            self.scroll_to(x=max(0, self.scroll_x + by), animate=False)

    def action_open(self) -> None:
        """Post `Opened` for the line under the cursor."""
        if self.line_count:
            self.post_message(self.Opened(self))

    def on_resize(self, event: events.Resize) -> None:
        """Keep the cursor in view."""
        del event
        if self.has_cursor:
            self.call_after_refresh(lambda: self.go_to(self.cursor))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked line; a click on the cursor opens the line."""
        offset: Offset = event.get_content_offset_capture(self)
        y = round(self.scroll_y) + offset.y
        if not self.has_cursor or not 0 <= y < self.line_count:
            return
        if y == self.cursor and event.chain > 1:
            self.post_message(self.Opened(self))
        self.cursor = y

    def _on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        event.prevent_default()
        self._wheel(_WHEEL_LINES)

    def _on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        event.prevent_default()
        self._wheel(-_WHEEL_LINES)

    def _wheel(self, by: int) -> None:
        top = max(0, min(round(self.scroll_y) + by, max(0, self.line_count - self.size.height)))
        self._show_from(top)
        if self.has_cursor:
            self.cursor = max(top, min(self.cursor, top + max(1, self.size.height) - 1))
