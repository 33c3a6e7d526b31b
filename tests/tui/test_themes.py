"""The themes."""

from rich.style import Style

from tui.signs import DARK, LIGHT, NO_COLOUR, Palette
from tui.terminal import ThemeName
from tui.themes import COLOURLESS, PALETTES, THEMES, themes


def test_every_theme_has_a_palette():
    """Two are the interface's own, the third is Textual's."""
    assert set(THEMES) == set(ThemeName)
    assert set(THEMES.values()) == set(PALETTES)
    assert {theme.name for theme in themes()} == set(PALETTES) - {COLOURLESS}
    assert [theme.dark for theme in themes()] == [True, False]


def contrast(colour: str, background: str) -> float:
    """Of two colours, as WCAG 2.2 defines it."""

    def luminance(text: str) -> float:
        parts = [int(text[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(colour), luminance(background)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_tone_can_be_read():
    """On the theme's background, with at least the contrast 4.5 that WCAG 2.2 asks for."""
    for theme in themes():
        palette: Palette = PALETTES[theme.name]
        colours = {name: palette.tone(name).color for name in Palette._fields if name != "match"}
        given = {name: colour.get_truecolor().hex for name, colour in colours.items() if colour is not None}
        assert {name: code for name, code in given.items() if contrast(code, theme.background or "") < 4.5} == {}


def test_without_colour_the_match_and_headings_still_differ_from_text():
    """By bold and reverse."""
    assert NO_COLOUR.match != Style()
    assert NO_COLOUR.heading != Style()
    assert len({DARK.good, DARK.bad, DARK.waiting}) == len({LIGHT.good, LIGHT.bad, LIGHT.waiting}) == 3
