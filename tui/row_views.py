"""Small lists of a run: its events, and its artifacts."""

import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.text import Text
from textual import events

from moonmind_appliance.models import Event
from moonmind_appliance.units import duration, size
from moonmind_appliance.views.run_detail import ArtifactSummary
from tui.lines import Lines
from tui.screens.page import page_of
from tui.text import clock, fit, one_line, right

_TIME_WIDTH, _KIND_WIDTH = 16, 22
_TYPE_WIDTH, _SIZE_WIDTH, _KEPT_WIDTH = 18, 10, 16
_TONES = {
    "failed": "bad",
    "cancelled": "cancelled",
    "cancel_requested": "cancelled",
    "succeeded": "good",
    "waiting": "waiting",
    "retrying": "waiting",
    "running": "running",
    "claimed": "running",
}
# These values need no name.
_UNNAMED = frozenset({"phase", "message", "name", "summary"})
# The kind already says it.
_OMITTED = frozenset({"status", "artifact_id", "artifact_type"})


def event_detail(data: Mapping[str, Any]) -> str:
    """The data of an event as text: `reason quota, until 14:20`."""
    parts = []
    for name, value in data.items():
        if name in _OMITTED or value in (None, "", [], {}):
            continue
        shown = event_detail(value) if isinstance(value, Mapping) else value
        if name == "size_bytes":
            parts.append(size(int(value)))
            continue
        if name == "seconds":
            parts.append(duration(float(value)))
            continue
        if isinstance(value, list):
            shown = ", ".join(str(each) for each in value)
        parts.append(str(shown) if name in _UNNAMED else f"{name.replace('_', ' ')} {shown}")
    return one_line(", ".join(parts))


class EventsView(Lines):
    """The events of a run, oldest first; every automatic decision with its reason."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._events: list[Event] = []
        self._rows: list[Text] = []

    @property
    def last_id(self) -> int:
        """The id of the newest known event, 0 for none."""
        return self._events[-1].event_id if self._events else 0

    def add(self, more: Sequence[Event]) -> None:
        """Add newer events; a cursor on the last line stays on the last line."""
        new = [event for event in more if event.event_id > self.last_id and not _begins_artifact(event)]
        if not new:
            return
        at_end = self.cursor >= self.line_count - 1
        self._events += new
        self._rows += [row for event in new for row in self._event_rows(event)]
        self.lines_changed()
        if at_end:
            self.action_last()

    @property
    def line_count(self) -> int:
        """Rows of all events."""
        return len(self._rows)

    def line(self, y: int) -> Text:
        """A row."""
        return self._rows[y].copy()

    def on_resize(self, event: events.Resize) -> None:
        """Wrap the rows again."""
        del event
        self._rows = [row for each in self._events for row in self._event_rows(each)]
        self.lines_changed()

    def _event_rows(self, event: Event) -> list[Text]:
        palette = page_of(self).tui.palette
        tone = _TONES.get(event.kind.rpartition(".")[2], "plain")
        indent = _TIME_WIDTH + _KIND_WIDTH + 3
        parts = textwrap.wrap(event_detail(event.data), max(10, self.line_width - indent)) or [""]
        head = Text(no_wrap=True, end="")
        head.append(f" {fit(_stamp(event.at), _TIME_WIDTH)} ", palette.muted)
        head.append(
            f"{fit(one_line(event.kind.replace('_', ' ').replace('.', ' ')), _KIND_WIDTH)} ", palette.tone(tone)
        )
        head.append(parts[0])
        return [head, *(Text(" " * indent + part, no_wrap=True, end="") for part in parts[1:])]


def _begins_artifact(event: Event) -> bool:
    """Whether the event is the first of a log's two saves: only the second one, at its end, is shown."""
    return event.kind == "artifact.saved" and not event.data.get("size_bytes")


def _day_or_time(at: datetime, now: datetime) -> str:
    """The day alone if the time is days away, because it is short; else the time."""
    return clock(at, now) if abs(at - now) < timedelta(days=6) else f"{at.astimezone():%Y-%m-%d}"


def _stamp(at: datetime) -> str:
    here = at.astimezone()
    return f"{here:%m-%d %H:%M:%S}"


class ArtifactsView(Lines):
    """The stored files of a run."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._artifacts: Sequence[ArtifactSummary] = ()

    def show(self, artifacts: Sequence[ArtifactSummary]) -> None:
        """Set the artifacts."""
        if artifacts != self._artifacts:
            self._artifacts = artifacts
            self.lines_changed()

    @property
    def selected(self) -> ArtifactSummary | None:
        """The artifact under the cursor."""
        return self._artifacts[self.cursor] if self.cursor < len(self._artifacts) else None

    @property
    def line_count(self) -> int:
        """One line per artifact."""
        return len(self._artifacts)

    def line(self, y: int) -> Text:
        """Name, size, type, and the time of deletion."""
        artifact = self._artifacts[y]
        page = page_of(self)
        palette, now = page.tui.palette, page.tui.now()
        kept = f"until {_day_or_time(artifact.expires_at, now)}" if artifact.expires_at else "while it runs"
        name = self.line_width - _SIZE_WIDTH - _TYPE_WIDTH - _KEPT_WIDTH - 6
        text = Text(" ", no_wrap=True, end="")
        text.append(fit(one_line(artifact.name), max(10, name)))
        text.append(f" {right(size(artifact.size_bytes), _SIZE_WIDTH)}  ")
        text.append(fit(artifact.artifact_type.value.replace("_", " "), _TYPE_WIDTH), palette.muted)
        text.append(f" {fit(kept, _KEPT_WIDTH)}", palette.muted)
        return text
