"""The findings of the checks as lines of text. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.text import Text

from moonmind_appliance.checks import Finding, Level, ServeState
from tui.signs import LEVEL_SIGNS, Palette
from tui.text import clean, clock, one_line
from tui.text_lines import wrapped

_NAME = 20


def head_text(findings: Sequence[Finding] | None, *, running: bool, at: datetime | None, now: datetime) -> str:
    """The overall result, such as `2 problems, 1 note, checked 12:04`."""
    if findings is None:
        return "not checked yet"
    wrong, notes = (sum(finding.level is level for finding in findings) for level in (Level.WRONG, Level.NOTE))
    parts = [_count(wrong, "problem")] if wrong or not running else []
    if notes:
        parts.append(_count(notes, "note"))
    if running:
        parts.append("checking …")
    elif at:
        parts.append(f"checked {clock(at, now)}")
    return ", ".join(parts)


def service_text(state: ServeState | None, palette: Palette) -> Text:
    """Whether the service accepts and executes runs, and the problems that it reports."""
    if state is None:
        return Text("· Checking the service.", palette.muted)
    if not state.answers:
        return Text("‖ The service is not running: runs wait for `moonmind-appliance serve`.", palette.waiting)
    if not state.ready:
        return Text(f"✗ The service is not ready: {_with_keys(one_line(' '.join(state.problems)))}", palette.bad)
    return Text.assemble(("✓", palette.good), f" The service {one_line(state.version)} is ready for runs.")


def check_lines(findings: Iterable[Finding], palette: Palette, width: int) -> list[Text]:
    """Each finding: sign, name, observation; below it what to do. Problems come first, then notes."""
    order = {Level.WRONG: 0, Level.NOTE: 1, Level.OK: 2}
    lines: list[Text] = []
    for finding in sorted(findings, key=lambda found: order[found.level]):
        sign = LEVEL_SIGNS[finding.level]
        name = one_line(finding.check)
        head = Text.assemble(" ", (sign.mark, palette.tone(sign.tone)), f" {name:<{_NAME}} ")
        lines += wrapped(head, Text(clean(finding.observed)), width)
        if finding.to_do:
            indent = Text(" " * (_NAME + 2) + "→ ", palette.tone(sign.tone))
            lines += wrapped(indent, Text(_with_keys(clean(finding.to_do)), palette.strong), width)
    return lines


def _with_keys(to_do: str) -> str:
    """A command together with its keys in the interface, if it has any."""
    return f"{to_do}, or here: 2, then i" if "login-shard" in to_do else to_do


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'s' if number > 1 else ''}"
