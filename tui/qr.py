"""An address as a QR code of half blocks."""

import segno
from rich.text import Text

# White modules around the code: readers need at least one (tested with OpenCV: it reads 1, 2 and 4, but not 0).
QUIET_ZONE = 2

# Fixed colours, as a theme's may be inverted, which readers refuse. The dark modules are drawn as characters: a
# font's gaps between blocks then do not break the light ones.
COLOURED = "#000000 on #ffffff"
# Correct on a dark terminal.
COLOURLESS = "reverse"
_BLOCKS = {(False, False): " ", (False, True): "▄", (True, False): "▀", (True, True): "█"}


def qr_code(address: str, style: str = COLOURED) -> Text:
    """The code, with two rows of modules per line; an address of 36 characters takes 33 columns and 17 lines."""
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
