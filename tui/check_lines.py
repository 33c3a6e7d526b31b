"""The findings of the checks as lines of text. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.text import Text

from moonmind_appliance.checks import Finding
from tui.signs import LEVEL_SIGNS, Palette
from tui.text import clean, clock, one_line
from tui.text_lines import wrapped

_NAME = 20


def head_text(
    findings: Sequence[Finding] | None, *, running: bool, at: datetime | None, ready: bool | None, now: datetime
) -> str:
    """How it is as a whole, in sentences."""
    if findings is None:
        return "Not looked at yet."
    wrong, notes = (sum(finding.level == level for finding in findings) for level in ("wrong", "note"))
    parts = [_count(wrong, "problem")] if wrong else ["no problem" if not running else "no problem so far"]
    if notes:
        parts.append(_count(notes, "note"))
    words = f"{', '.join(parts)}.".capitalize()
    words += " Looking …" if running else f" Looked at {clock(at, now)}." if at else ""
    return words + {None: "", True: " Ready for runs: yes.", False: " Ready for runs: no."}[ready]


def check_lines(findings: Iterable[Finding], palette: Palette, width: int) -> list[Text]:
    """Each finding: sign, name, what was seen; below it what to do. Problems come first, then notes."""
    order = {"wrong": 0, "note": 1, "ok": 2}
    lines: list[Text] = []
    for finding in sorted(findings, key=lambda found: order[found.level]):
        sign = LEVEL_SIGNS[finding.level]
        name = one_line(finding.check)
        head = Text.assemble(" ", (sign.mark, palette.tone(sign.tone)), f" {name:<{_NAME}} ")
        lines += wrapped(head, Text(clean(finding.seen)), width)
        if finding.to_do:
            indent = Text(" " * (_NAME + 2) + "→ ", palette.tone(sign.tone))
            lines += wrapped(indent, Text(clean(finding.to_do), palette.strong), width)
    return lines


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
