"""The themes: dark, light, and one without any colour."""

from textual.theme import Theme

from tui.signs import DARK, LIGHT, NO_COLOUR, Palette
from tui.terminal import ThemeName

# It has the terminal's own colours; the app removes those, too, so that only bold, underline and reverse remain.
COLOURLESS = "ansi-dark"

THEMES: dict[ThemeName, str] = {
    ThemeName.DARK: "moonmind-dark",
    ThemeName.LIGHT: "moonmind-light",
    ThemeName.NONE: COLOURLESS,
}
PALETTES: dict[str, Palette] = {"moonmind-dark": DARK, "moonmind-light": LIGHT, COLOURLESS: NO_COLOUR}


def themes() -> list[Theme]:
    """The themes that Textual does not include."""
    return [
        Theme(
            name="moonmind-dark",
            primary="#56c8d8",
            secondary="#8b949e",
            accent="#56c8d8",
            warning="#e3b341",
            error="#ff7b72",
            success="#56d364",
            foreground="#e6edf3",
            background="#0d1117",
            surface="#161b22",
            panel="#21262d",
            dark=True,
            variables={
                "cursor": "#1f3a5f",
                "cursor-blurred": "#21262d",
                "footer-key-foreground": "#56c8d8",
                "border": "#484f58",
            },
        ),
        Theme(
            name="moonmind-light",
            primary="#0b6e7f",
            secondary="#59636e",
            accent="#0b6e7f",
            warning="#8a5a00",
            error="#b3121d",
            success="#12682c",
            foreground="#1f2328",
            background="#ffffff",
            surface="#f3f5f7",
            panel="#e7ebef",
            dark=False,
            variables={
                "cursor": "#c8e1ff",
                "cursor-blurred": "#e7ebef",
                "footer-key-foreground": "#0b6e7f",
                "border": "#8c959f",
            },
        ),
    ]
