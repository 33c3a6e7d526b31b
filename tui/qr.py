"""An address as a QR code of half blocks."""

import segno
from rich.text import Text

# Modules of white around the code: readers need at least one (tried with OpenCV: 1, 2 and 4 are read, 0 is not).
QUIET_ZONE = 2

# Written out, as a theme's colours may be the other way round, which readers refuse. The dark modules are the drawn
# ones: a font's gaps between blocks then leave the light ones whole.
COLOURED = "#000000 on #ffffff"
# Right on a dark terminal.
COLOURLESS = "reverse"
_BLOCKS = {(False, False): " ", (False, True): "▄", (True, False): "▀", (True, True): "█"}


def qr_code(address: str, style: str = COLOURED) -> Text:
    """The code, two rows of modules a line; 36 characters of address make 33 columns and 17 lines."""
    made = segno.make(address, error="l", micro=False)
    modules = [[bool(module) for module in row] for row in made.matrix_iter(border=QUIET_ZONE)]
    if len(modules) % 2:
        modules.append([False] * len(modules[0]))
    pairs = zip(modules[::2], modules[1::2], strict=True)
    lines = ("".join(_BLOCKS[upper, lower] for upper, lower in zip(*pair, strict=True)) for pair in pairs)
    return Text("\n".join(lines), style, no_wrap=True)


def qr_size(address: str) -> tuple[int, int]:
    """Columns and lines of `qr_code(address)`."""
    lines = qr_code(address).plain.split("\n")
    return len(lines[0]), len(lines)
