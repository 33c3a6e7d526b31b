"""The QR code on the screen."""

import segno

from tui.qr import QUIET_ZONE, qr_code, qr_size

ADDRESS = "https://auth.openai.com/codex/device"


def modules_of(text):
    """The dark modules, as a reader sees them."""
    dark = {" ": (False, False), "▄": (False, True), "▀": (True, False), "█": (True, True)}
    rows = []
    for line in text.plain.split("\n"):
        pairs = [dark[block] for block in line]
        rows += [[upper for upper, _ in pairs], [lower for _, lower in pairs]]
    return rows


def test_every_module_is_drawn():
    """Row by row as encoded, with the white margin."""
    made = [[bool(module) for module in row] for row in segno.make(ADDRESS, error="l").matrix_iter(border=QUIET_ZONE)]
    drawn = modules_of(qr_code(ADDRESS))
    assert drawn[: len(made)] == made
    assert not any(any(row) for row in drawn[len(made) :])


def test_the_size_is_known_before_it_is_drawn():
    """The size decides whether it fits."""
    assert qr_size(ADDRESS) == (33, 17)
    assert qr_size("https://auth.openai.com/codex/device?user_code=J7WH-F5B4Q") == (37, 19)


def test_the_code_is_black_on_white_in_every_theme():
    """Readers do not accept inverted colours."""
    assert qr_code(ADDRESS).style == "#000000 on #ffffff"
