"""A text on the screen that is repainted only when it changes."""

from rich.text import Text
from textual.widgets import Static


def update(widget: Static, text: Text) -> None:
    """Show a text if it differs from the current one: Textual would repaint in any case."""
    if widget.content != text:
        widget.update(text)
