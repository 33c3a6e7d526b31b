"""The editor of the specification: Markdown with colours, without a blinking cursor."""

from rich.style import Style
from textual._text_area_theme import TextAreaTheme
from textual.widgets import TextArea

from tui.signs import Palette
from tui.themes import PALETTES


class Editor(TextArea):
    """A text area whose colours are those of the app's theme."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, language="markdown", soft_wrap=True, tab_behavior="focus", highlight_cursor_line=False)
        # A blinking cursor writes to the terminal continuously.
        self.cursor_blink = False
        for name, palette in PALETTES.items():
            self.register_theme(_theme(name, palette))

    def on_mount(self) -> None:
        """Apply the app's theme, also after a change."""
        self._follow()
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self._follow())

    def on_unmount(self) -> None:
        """Stop following: the app's signal would keep a reference to the editor."""
        self.app.theme_changed_signal.unsubscribe(self)

    def _follow(self) -> None:
        if self.app.theme in self.available_themes:
            self.theme = self.app.theme


def _theme(name: str, palette: Palette) -> TextAreaTheme:
    """Headings, lists, quotes, code: names of Textual's highlight query for Markdown."""
    return TextAreaTheme(
        name,
        cursor_style=Style(reverse=True),
        syntax_styles={
            "heading": palette.heading,
            "heading.marker": palette.muted,
            "list.marker": palette.running,
            "text.literal": palette.good,
            "punctuation.delimiter": palette.muted,
            "punctuation.special": palette.muted,
            "link.uri": palette.link,
            "link.label": palette.link,
            "string.escape": palette.muted,
        },
    )
