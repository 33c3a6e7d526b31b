"""A text field with a history: the down arrow fills in the most recent value, then the ones before it."""

from textual import events
from textual.widgets import Input


class RecentInput(Input):
    """`recent` are the earlier values, the most recent first."""

    def __init__(self, *, placeholder: str, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(placeholder=placeholder, id=id)
        self.recent: list[str] = []
        self._typed = ""
        self._place = -1

    def on_key(self, event: events.Key) -> None:
        """Select an earlier value; up from the first one restores the typed text, then moves to the previous field."""
        step = {"down": 1, "up": -1}.get(event.key)
        if step is None:
            return
        if self._place >= 0 and self.value != self.recent[self._place]:
            self._place = -1
        if self._place < 0:
            self._typed = self.value
        matching = [number for number, value in enumerate(self.recent) if self._typed.casefold() in value.casefold()]
        after = [number for number in matching if number > self._place]
        before = [number for number in matching if number < self._place]
        if step > 0 and after:
            self._fill(after[0])
        elif step < 0 and before:
            self._fill(before[-1])
        elif step < 0 and self._place >= 0:
            self._place = -1
            self._set(self._typed)
        else:
            return
        event.stop()
        event.prevent_default()

    def _fill(self, place: int) -> None:
        self._place = place
        self._set(self.recent[place])

    def _set(self, value: str) -> None:
        self.value = value
        self.cursor_position = len(value)
