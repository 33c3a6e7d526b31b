"""The nine phases of a run: state, duration as a bar, attempts."""

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text
from textual import events

from moonmind_appliance.models import PhaseStatus
from moonmind_appliance.views.run_detail import PhaseDetail
from tui.lines import Lines
from tui.screens.page import page_of
from tui.signs import PHASE_SIGNS, Palette
from tui.text import age, fit, length, right

_NAME_WIDTH = 19
_LENGTH_WIDTH = 6
_ATTEMPT_WIDTH = 5
_NARROWEST_BAR = 4


def bar(share: float, width: int) -> str:
    """A bar of `width` cells of which that share is filled, in halves of a cell; any share above 0 is visible."""
    halves = round(max(0.0, min(share, 1.0)) * width * 2)
    if share > 0:
        halves = max(1, halves)
    whole, part = divmod(halves, 2)
    return ("━" * whole + "╸" * part).ljust(width)


def phase_text(phase: PhaseDetail, longest: float, width: int, now: datetime, palette: Palette) -> Text:
    """A phase as a line of `width` cells; `longest` is the duration of the longest one in seconds."""
    sign = PHASE_SIGNS[phase.status]
    seconds = phase.seconds(now)
    took = ""
    if phase.status in {PhaseStatus.PENDING, PhaseStatus.SKIPPED}:
        seconds = None
        took = "-" if phase.status is PhaseStatus.PENDING else "skip"
    elif seconds is not None:
        # A running phase's time changes by the minute, a finished one's never.
        took = length(seconds) if phase.completed_at is not None else age(seconds)
    text = Text(no_wrap=True, end="")
    text.append(f" {sign.mark} ", palette.tone(sign.tone))
    text.append(fit(phase.phase.value, _NAME_WIDTH), palette.muted if seconds is None else palette.plain)
    text.append(" " + right(took, _LENGTH_WIDTH) + " ")
    room = width - text.cell_len - _ATTEMPT_WIDTH - 1
    if room >= _NARROWEST_BAR:
        share = seconds / longest if seconds and longest > 0 else 0.0
        text.append(bar(share, room), palette.tone(sign.tone))
    text.append(" " + fit(f"try {phase.attempt}" if phase.attempt > 1 else "", _ATTEMPT_WIDTH))
    return text


class Timeline(Lines):
    """The phases; the cursor selects one."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._phases: Sequence[PhaseDetail] = ()
        self._painted: dict[int, Text] = {}

    def show(self, phases: Sequence[PhaseDetail]) -> None:
        """Set the phases; repaint the lines that changed."""
        many = len(self._phases) != len(phases)
        self._phases = phases
        if many:
            self.lines_changed()
        self.repaint_changed()

    def repaint_changed(self) -> None:
        """Repaint the lines whose text has changed."""
        self.repaint_lines(y for y in range(self.line_count) if self._painted.get(y) != self._text(y))

    @property
    def selected(self) -> PhaseDetail | None:
        """The phase under the cursor."""
        return self._phases[self.cursor] if self.cursor < len(self._phases) else None

    @property
    def line_count(self) -> int:
        """One line per phase."""
        return len(self._phases)

    def line(self, y: int) -> Text:
        """A phase."""
        self._painted[y] = self._text(y)
        return self._painted[y].copy()

    def on_resize(self, event: events.Resize) -> None:
        """Repaint with the new widths of the bars."""
        del event
        self._painted.clear()

    def _text(self, y: int) -> Text:
        tui = page_of(self).tui
        now = tui.now()
        longest = max((phase.seconds(now) or 0.0 for phase in self._phases), default=0.0)
        return phase_text(self._phases[y], longest, self.line_width, now, tui.palette)
