"""How states are displayed: a sign, a word and a colour. The colour is never the only difference."""

from typing import NamedTuple

from rich.style import Style

from moonmind_appliance.models import PhaseStatus, RunStatus


class Sign(NamedTuple):
    """`mark` is one cell wide; `tone` is a name of `Palette`."""

    mark: str
    word: str
    tone: str


class Palette(NamedTuple):
    """The colours of a theme, as Rich styles for lines that are drawn by hand."""

    plain: Style
    muted: Style
    strong: Style
    running: Style
    waiting: Style
    good: Style
    bad: Style
    cancelled: Style
    link: Style
    match: Style
    heading: Style

    def tone(self, name: str) -> Style:
        """The style with that name."""
        found: Style = getattr(self, name)
        return found


def _palette(*, muted: str, running: str, waiting: str, good: str, bad: str, cancelled: str, match: str) -> Palette:
    return Palette(
        plain=Style(),
        muted=Style(color=muted),
        strong=Style(bold=True),
        running=Style(color=running),
        waiting=Style(color=waiting),
        good=Style(color=good),
        bad=Style(color=bad, bold=True),
        cancelled=Style(color=cancelled),
        link=Style(color=running, underline=True),
        match=Style(color="#000000", bgcolor=match),
        heading=Style(color=running, bold=True),
    )


DARK = _palette(
    muted="#8b949e",
    running="#56c8d8",
    waiting="#e3b341",
    good="#56d364",
    bad="#ff7b72",
    cancelled="#d2a8ff",
    match="#e3b341",
)
LIGHT = _palette(
    muted="#59636e",
    running="#0b6e7f",
    waiting="#8a5a00",
    good="#12682c",
    bad="#b3121d",
    cancelled="#7a3ea8",
    match="#ffd33d",
)
NO_COLOUR = Palette(
    plain=Style(),
    muted=Style(),
    strong=Style(bold=True),
    running=Style(),
    waiting=Style(),
    good=Style(),
    bad=Style(bold=True),
    cancelled=Style(),
    link=Style(underline=True),
    match=Style(reverse=True),
    heading=Style(bold=True),
)

WAITING = Sign("‖", "waiting", "waiting")
RUN_SIGNS: dict[RunStatus, Sign] = {
    RunStatus.QUEUED: Sign("·", "queued", "waiting"),
    RunStatus.IN_PROGRESS: Sign("▶", "running", "running"),
    RunStatus.SUCCEEDED: Sign("✓", "succeeded", "good"),
    RunStatus.NO_CHANGES: Sign("=", "unchanged", "good"),
    RunStatus.FAILED: Sign("✗", "failed", "bad"),
    RunStatus.CANCELLED: Sign("⊘", "cancelled", "cancelled"),
}
PHASE_SIGNS: dict[PhaseStatus, Sign] = {
    PhaseStatus.PENDING: Sign("·", "pending", "muted"),
    PhaseStatus.RUNNING: Sign("▶", "running", "running"),
    PhaseStatus.RETRYING: Sign("‖", "again", "waiting"),
    PhaseStatus.SUCCEEDED: Sign("✓", "succeeded", "good"),
    PhaseStatus.FAILED: Sign("✗", "failed", "bad"),
    PhaseStatus.SKIPPED: Sign("-", "skipped", "muted"),
}
LEVEL_SIGNS: dict[str, Sign] = {
    "ok": Sign("✓", "ok", "good"),
    "note": Sign("!", "note", "waiting"),
    "wrong": Sign("✗", "wrong", "bad"),
}


def run_sign(status: RunStatus, *, waiting: bool) -> Sign:
    """The sign of a run; a queued run that waits for more than a free shard is `waiting`."""
    return WAITING if waiting and status is RunStatus.QUEUED else RUN_SIGNS[status]
