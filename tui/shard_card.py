"""A shard as lines of text: account, facts about the login, quota, runs, events. Pure."""

import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from rich.text import Text

from moonmind_appliance.models import LoginState, WaitReason
from moonmind_appliance.shards.health import LOGIN_WORDS, Grade, GradeName
from moonmind_appliance.views.shard_view import QuotaBar, Severity, ShardEvent, ShardView, WaitingRun, quota_bars
from tui.signs import Palette, Sign
from tui.text import age, clean, clock, countdown, one_line

LOGIN_SIGNS: dict[LoginState, Sign] = {
    LoginState.PRESENT: Sign("✓", LOGIN_WORDS[LoginState.PRESENT], "good"),
    LoginState.ABSENT: Sign("·", LOGIN_WORDS[LoginState.ABSENT], "waiting"),
    LoginState.DEAD: Sign("✗", LOGIN_WORDS[LoginState.DEAD], "bad"),
    LoginState.REFUSED: Sign("✗", LOGIN_WORDS[LoginState.REFUSED], "bad"),
    LoginState.UNKNOWN: Sign("?", LOGIN_WORDS[LoginState.UNKNOWN], "muted"),
}
_SHORT_ID = 8
_LABEL = 8
_GRADE = 28
_BAR = 20
_LONGEST_BAR = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"
_DETAILS = ("why", "way", "until", "to")


class Card(NamedTuple):
    """The data of a card: the shard, and the queued runs that only it may execute."""

    view: ShardView
    pinned: Sequence[WaitingRun]


def card_text(card: Card, *, now: datetime, palette: Palette, width: int, events: int, selected: bool) -> Text:
    """The card; `events` is the number of newest events to show."""
    lines = [_title(card, now, palette, width, selected=selected), *_trouble(card, now, palette, width)]
    lines += _grades(card.view, now, palette, width)
    lines += [_quota(bar, now, palette, width) for bar in quota_bars(card.view.quota, now)]
    if card.pinned:
        lines.append(_labelled("Waiting", Text(f"{_runs(len(card.pinned))} for this shard alone"), palette))
    for number, event in enumerate(card.view.events[:events]):
        lines.append(_labelled("Events" if number == 0 else "", _event(event, now, palette), palette))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines)


def waiting_text(waiting: Sequence[WaitingRun], now: datetime) -> str:
    """How many runs wait, and for what, in a sentence."""
    if not waiting:
        return "No run waits."
    reasons: dict[str, int] = {}
    for run in waiting:
        text = "for their turn"
        if run.waiting_for is not None:
            until = run.waiting_for.until
            text = f"for {_REASONS.get(run.waiting_for.reason, run.waiting_for.reason.value.replace('_', ' '))}"
            text += f" until {clock(until, now)}" if until else ""
        reasons[text] = reasons.get(text, 0) + 1
    parts = ", ".join(f"{count} {text}" for text, count in reasons.items())
    return f"{_runs(len(waiting))} {'waits' if len(waiting) == 1 else 'wait'}: {parts}."


_REASONS = {
    WaitReason.LOGIN: "a login",
    WaitReason.QUOTA: "quota",
    WaitReason.DISK: "disk space",
    WaitReason.ENGINE: "the Docker engine",
    WaitReason.GITHUB: "GitHub",
    WaitReason.SHARD_BUSY: "a busy shard",
    WaitReason.DRAINED: "the appliance to be resumed (D)",
}


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _title(card: Card, now: datetime, palette: Palette, width: int, *, selected: bool) -> Text:
    view = card.view
    sign = LOGIN_SIGNS[view.login]
    title = Text(f"{'▸' if selected else ' '} Shard {view.shard}  ", "bold" if selected else "")
    title.append(f"{sign.mark} {sign.word}", palette.tone(sign.tone))
    who = "API key" if view.by_api_key else one_line(view.account_email or "")
    if who and view.login is not LoginState.ABSENT:
        title.append(f"  {who}", palette.strong)
        title.append(f"  {one_line(view.plan).capitalize()}" if view.plan else "")
    doing = _doing(card, now, palette)
    space = width - title.cell_len - doing.cell_len
    return title.append(" " * max(space, 2)).append_text(doing)


def _doing(card: Card, now: datetime, palette: Palette) -> Text:
    view = card.view
    text = Text()
    if view.paused_at is not None:
        text.append(f"‖ paused since {clock(view.paused_at, now)}", palette.waiting)
    if view.run_id:
        text.append("  " if text else "").append(f"▶ {view.run_id[:_SHORT_ID]}", palette.running)
    elif view.rests_until is not None and view.rests_until > now:
        text.append("  " if text else "").append(f"‖ quota {clock(view.rests_until, now)}", palette.waiting)
    return text or Text("idle", palette.muted)


def _trouble(card: Card, now: datetime, palette: Palette, width: int) -> list[Text]:
    """Why the shard accepts no runs, and which key helps."""
    view = card.view
    if view.login in {LoginState.PRESENT, LoginState.UNKNOWN}:
        return []
    since = f"since {clock(view.health.since, now)}" if view.health.since else ""
    why = one_line(view.health.why or view.login_reason)
    reason = " ".join(part for part in (since, f"({why})" if why else "") if part)
    advice = {
        LoginState.REFUSED: "Ask the account's owner to fix its plan or credits, or press i to use another account.",
    }.get(view.login, "Press i to sign in.")
    room = max(width - _LABEL - 2, 20)
    lines = [Text(line) for line in textwrap.wrap(f"Accepts no runs {reason}".rstrip(), room)]
    lines.append(Text(advice, palette.tone(LOGIN_SIGNS[view.login].tone)))
    return [_labelled("", line, palette) for line in lines]


def _grades(view: ShardView, now: datetime, palette: Palette, width: int) -> list[Text]:
    """The four facts about the login, two on a line if they fit."""
    if view.login is LoginState.ABSENT:
        return []
    shown = [_grade(grade, now, palette) for grade in view.health.grades]
    columns = 2 if width >= _LABEL + 2 * _GRADE else 1
    lines = []
    for start in range(0, len(shown), columns):
        line = Text()
        for text in shown[start : start + columns]:
            text.pad_right(max(0, _GRADE - text.cell_len))
            line.append_text(text)
        lines.append(_labelled("Login" if start == 0 else "", line, palette))
    return lines


def _grade(grade: Grade, now: datetime, palette: Palette) -> Text:
    mark, tone = {True: ("✓", "good"), False: ("✗", "bad"), None: ("·", "muted")}[grade.good]
    return Text.assemble((mark, palette.tone(tone)), " ", _grade_text(grade, now))


def _grade_text(grade: Grade, now: datetime) -> str:
    ago = f"{age((now - grade.at).total_seconds())} ago" if grade.at else ""
    texts = {
        (GradeName.LOGIN_FILE, True): f"file seen {ago}",
        (GradeName.LOGIN_FILE, False): "no login file",
        (GradeName.ACCESS_TOKEN, False): f"token ended {ago}",
        (GradeName.ACCESS_TOKEN, True): f"token, {_left(grade.at, now)} left",
        (GradeName.REFRESH, True): f"renewed {ago}",
        (GradeName.REFRESH, False): f"renewal refused, last {ago}" if ago else "renewal refused",
        (GradeName.MODEL_TURN, True): f"model turn {ago}",
        (GradeName.MODEL_TURN, False): f"no model turn since {ago}" if ago else "no model turn",
    }
    labels = {
        GradeName.LOGIN_FILE: "file",
        GradeName.ACCESS_TOKEN: "token",
        GradeName.REFRESH: "renewal",
        GradeName.MODEL_TURN: "model turn",
    }
    if grade.good is None:
        return f"{labels[grade.name]}: {one_line(grade.words)} {ago}".strip()
    return texts[grade.name, grade.good].strip()


def _left(ends: datetime | None, now: datetime) -> str:
    return countdown((ends - now).total_seconds()) if ends else "?"


def _quota(bar: QuotaBar, now: datetime, palette: Palette, width: int) -> Text:
    """A window of the quota: `7 d     █████▊░░░░  58 %  resets Mon 09:00`."""
    cells = min(_LONGEST_BAR, max(_BAR, width - 60))
    drawn, rest = bar_cells(bar.used_percent, cells)
    severity = {
        Severity.OK: ("good", ""),
        Severity.HIGH: ("waiting", "! nearly used"),
        Severity.FULL: ("bad", "✗ used up"),
    }
    tone, remark = severity[bar.severity]
    text = Text.assemble((drawn, palette.tone(tone)), (rest, palette.muted), f" {bar.used_percent:3.0f} %")
    if bar.resets_at is not None:
        text.append(f"  resets {clock(bar.resets_at, now)}")
    if remark:
        text.append(f"  {remark}", palette.tone(tone))
    return _labelled(bar.label or "Quota", text, palette)


def bar_cells(percent: float, cells: int) -> tuple[str, str]:
    """A bar in eighths of cells: the filled part, and the empty part."""
    eighths = round(max(0.0, min(percent, 100.0)) / 100 * cells * 8)
    drawn = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return drawn, "░" * (cells - len(drawn))


def _event(event: ShardEvent, now: datetime, palette: Palette) -> Text:
    return Text.assemble((f"{clock(event.at, now)}  ", palette.muted), event_text(event.kind, event.data))


def event_text(kind: str, data: dict[str, Any]) -> str:
    """An event's kind, and the reason from its data."""
    text = clean(kind.removeprefix("shard.")).replace("_", " ")
    details = [one_line(str(data[name])) for name in _DETAILS if data.get(name) not in {None, ""}]
    return f"{text}: {', '.join(details)}" if details else text


def _labelled(label: str, text: Text, palette: Palette) -> Text:
    return Text.assemble("  ", (f"{label:<{_LABEL}}", palette.muted)).append_text(text)
