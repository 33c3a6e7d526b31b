"""The names of a page's tabs on one line."""

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget


class TabLine(Widget):
    """One line; `[Name]` is the shown tab. A click on a name chooses it."""

    ALLOW_SELECT = False

    class Chosen(Message):
        """A name was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, names: tuple[str, ...], *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._names = names
        self._shown = names[0]

    def show(self, name: str) -> None:
        """Mark this tab."""
        if name != self._shown:
            self._shown = name
            self.refresh()

    def render(self) -> Text:
        """The line."""
        text = Text(no_wrap=True, end="")
        for name in self._names:
            title = name.capitalize()
            text.append(f"[{title}]" if name == self._shown else f" {title} ", "bold" if name == self._shown else "")
        return text

    def on_click(self, event: events.Click) -> None:
        """Choose the name that was clicked."""
        x, start = event.get_content_offset_capture(self).x, 0
        for name in self._names:
            if start <= x < start + len(name) + 2:
                self.post_message(self.Chosen(name))
                return
            start += len(name) + 2
