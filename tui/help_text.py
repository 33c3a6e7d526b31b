"""The help: every key of the key table, the signs, the exit codes, and copying. Pure."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from tui.keys import KEYS, Where
from tui.signs import PHASE_SIGNS, RUN_SIGNS, WAITING, Palette
from tui.text_lines import wrapped

_KEY = 12
_COPYING = (
    "Copied texts go to your terminal by OSC 52, also over ssh; the terminal's settings may block it.",
    "Inside tmux they go through `tmux load-buffer -w`. If nothing arrives: `set -s set-clipboard on` in ~/.tmux.conf.",
    "To copy any text: drag over it with the mouse, then Ctrl-C. Shift+drag is the terminal's own selection.",
)
_LEAVING = (
    "`moonmind-appliance serve` executes the runs, not this program: quitting it, losing the connection or closing the "
    "terminal stops no run. An unfinished form is kept as a draft; an unfinished sign-in is undone."
)


def help_lines(palette: Palette, width: int, first: Where | None, exit_codes: Sequence[tuple[int, str]]) -> list[Text]:
    """The whole help.

    Args:
        palette: the colours.
        width: cells of a line.
        first: the part whose keys come first: that of the screen on which the user opened the help.
        exit_codes: of the commands, each with its meaning.
    """
    parts = sorted(KEYS, key=lambda where: where is not first)
    lines: list[Text] = []
    for where in parts:
        rows = list(_keys(where, palette, width))
        if rows:
            lines += [*_heading(where.value, palette), *rows]
    lines += [*_heading("Signs", palette), *_signs(palette, width)]
    lines += _heading("Copying", palette)
    for text in _COPYING:
        lines += wrapped(Text(" "), Text(text), width)
    lines += [*_heading("Leaving", palette), *wrapped(Text(" "), Text(_LEAVING), width)]
    if exit_codes:
        lines += _heading("Exit codes of the commands", palette)
        for code, meaning in exit_codes:
            lines += wrapped(Text(f" {code:<{_KEY - 1}}", palette.strong), Text(meaning), width)
    return lines[1:]


def _heading(text: str, palette: Palette) -> list[Text]:
    return [Text(), Text(text, palette.heading)]


def _keys(where: Where, palette: Palette, width: int) -> Iterator[Text]:
    for key in KEYS[where]:
        yield from wrapped(Text(f" {key.shown:<{_KEY - 1}}", palette.strong), Text(key.help), width)


def _signs(palette: Palette, width: int) -> Iterator[Text]:
    runs = {sign.mark: sign for sign in [WAITING, *RUN_SIGNS.values()]}
    phases = {sign.mark: sign for sign in PHASE_SIGNS.values()}
    for label, signs in (("Runs", runs), ("Phases", phases)):
        line = Text()
        for sign in signs.values():
            line.append("  " if line else "").append(sign.mark, palette.tone(sign.tone)).append(f" {sign.word}")
        yield from wrapped(Text(f" {label:<{_KEY - 1}}", palette.strong), line, width)
