"""`shards`: what each login can do, what it is doing, and what waits for it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.access import RunAccess
from moonmind_appliance.cli.runs.way import access_options, open_access
from moonmind_appliance.cli.terminal import STYLES, ago, clean, clock, line, table
from moonmind_appliance.models import QuotaWindow

_MARKS = {
    "present": "● signed in",
    "absent": "○ no login",
    "dead": "✖ dead",
    "refused": "✖ refused",
    "unknown": "? not looked at",
}
_HOUR, _DAY = 60, 1440
_NEARLY_USED = 80.0
_MOST_WAITING = 200


class _Grade(msgspec.Struct):
    """One of the four things that can be known of a login."""

    name: str
    good: bool | None
    words: str
    at: datetime | None = None


class _Health(msgspec.Struct):
    """The login in words."""

    why: str = ""
    next_step: str = ""
    since: datetime | None = None
    grades: list[_Grade] = []


class _Shard(msgspec.Struct):
    """What the table shows of an answer's shard."""

    shard: int
    login: str
    login_reason: str = ""
    account_email: str | None = None
    plan: str | None = None
    login_at: datetime | None = None
    access_expires_at: datetime | None = None
    last_turn_at: datetime | None = None
    quota: list[QuotaWindow] = []
    rests_until: datetime | None = None
    run_id: str | None = None
    by_api_key: bool = False
    health: _Health | None = None


@click.command(
    cls=Command,
    examples=[
        ("All of them", f"{PROGRAM} shards"),
        ("Whether they still work, without spending a model turn", f"{PROGRAM} shards --check"),
        ("Of another machine, as an operator", f"{PROGRAM} shards --server https://moonmind.example.com"),
        ("Those that need a login", f"{PROGRAM} shards --json | jq '.items[] | select(.login != \"present\").shard'"),
    ],
)
@click.option("--check", is_flag=True, help="Look at the logins now and renew them; only on the appliance's machine.")
@access_options
@click.pass_obj
def shards(invocation: Invocation, server: str | None, token_file: Path | None, *, check: bool) -> None:
    """Show each shard: login, quota, what it runs, what waits.

    A login is as it was last seen: a running `serve` looks at it every minute and before each run. Over HTTP it needs
    the operator role. Where a login is dead or missing, `login-shard N` makes a new one. With -v the four grades of
    each login are shown: its file is there, its access token is unexpired, a renewal worked last, a model turn worked
    last.
    """
    if check:
        from moonmind_appliance.cli.check_logins import check_logins  # noqa: PLC0415 - a caller over HTTP needs no engine

        check_logins(invocation)
    with open_access(invocation, server, token_file) as access:
        items = access.shards()
        waiting = _waiting(access)
    now = datetime.now(UTC)
    invocation.answer(
        {"items": items, "waiting": waiting}, _shown(items, waiting, now, grades=invocation.verbose or check)
    )


def _waiting(access: RunAccess) -> list[dict[str, Any]]:
    """The queued runs, oldest first, and what each waits for."""
    page = access.page({"status": "queued", "limit": _MOST_WAITING})
    return [
        {key: run.get(key) for key in ("run_id", "repository", "accepted_at", "waiting_for", "shard_pin")}
        for run in reversed(page["items"])
    ]


def _shown(
    items: Sequence[dict[str, Any]], waiting: Sequence[dict[str, Any]], now: datetime, *, grades: bool
) -> RenderableType:
    shown = table(
        "SHARD", "LOGIN", "ACCOUNT", "PLAN", "MADE", "ACCESS ENDS", "LAST TURN", "QUOTA USED", "NOW", right={"SHARD"}
    )
    below: list[RenderableType] = []
    for shard in msgspec.convert(list(items), list[_Shard]):
        shown.add_row(
            str(shard.shard),
            Text(_MARKS.get(shard.login, clean(shard.login)), STYLES.get(shard.login, "")),
            line(shard.account_email or "-"),
            line(shard.plan or "-"),
            ago(shard.login_at, now) or "-",
            _access(shard, now),
            ago(shard.last_turn_at, now) or "never",
            quota_text(shard.quota, now),
            _doing(shard, now),
        )
        below += [*_trouble(shard), *(_grades(shard, now) if grades else [])]
    if waiting:
        below.append(Text(_waiting_text(waiting), "yellow"))
    return Group(shown, *([Text(), *below] if below else []))


def _trouble(shard: _Shard) -> list[RenderableType]:
    """Why the shard takes no run, and what to do about it."""
    if shard.login in {"present", "unknown"}:
        return []
    health = shard.health or _Health()
    why = line(health.why or shard.login_reason)
    reason = f" ({why})" if why else ""
    since = f" since {clock(health.since)}" if health.since else ""
    to_do = clean(health.next_step) or f"Run `{PROGRAM} login-shard {shard.shard}`."
    return [Text(f"Shard {shard.shard} takes no run{since}{reason}. {to_do}", "yellow")]


def _grades(shard: _Shard, now: datetime) -> list[RenderableType]:
    """What is known of the login, and since when: four things that are never mixed up."""
    if shard.health is None:
        return []
    shown: list[RenderableType] = [Text(f"Shard {shard.shard}:", "bold")]
    for grade in shard.health.grades:
        mark, style = {True: ("✔", "green"), False: ("✖", "red"), None: ("?", "dim")}[grade.good]
        name = clean(grade.name).replace("_", " ")
        at = f", {ago(grade.at, now)}" if grade.at else ""
        shown.append(Text.assemble("  ", (mark, style), f" {name}: {line(grade.words)}{at}"))
    return shown


def _access(shard: _Shard, now: datetime) -> Text:
    if shard.by_api_key:
        return Text("API key")
    if shard.access_expires_at is None:
        return Text("-")
    if shard.access_expires_at <= now:
        # Codex refreshes it at the next turn; only a refusal then makes the login dead.
        return Text("refresh due", "yellow")
    return Text(ago(shard.access_expires_at, now))


def _doing(shard: _Shard, now: datetime) -> Text:
    if shard.run_id:
        return Text(f"run {shard.run_id[:8]}", "cyan")
    if shard.rests_until is not None and shard.rests_until > now:
        return Text(f"rests until {clock(shard.rests_until)}", "yellow")
    return Text("idle", "dim")


def quota_text(windows: Sequence[QuotaWindow], now: datetime) -> Text:
    """Each window's length, how much of it is used, and when it starts again: `5 h 40 %, 7 d 12 %`."""
    text = Text()
    for window in windows:
        if text:
            text.append(", ")
        length = window.window_minutes
        if length:
            text.append(f"{length // _DAY} d " if length >= _DAY else f"{length // _HOUR or 1} h ", "dim")
        over = window.resets_at is not None and window.resets_at <= now
        used = 0.0 if over else window.used_percent
        text.append(f"{used:.0f} %", "bold red" if used >= _NEARLY_USED else "")
        if used >= _NEARLY_USED and window.resets_at is not None:
            text.append(f" until {clock(window.resets_at)}", "dim")
    return text or Text("-")


def _waiting_text(waiting: Sequence[dict[str, Any]]) -> str:
    """How many runs wait, and for what."""
    reasons: dict[str, int] = {}
    for run in waiting:
        wait = run["waiting_for"]
        words = "for their turn"
        if wait:
            until = datetime.fromisoformat(wait["until"]) if wait.get("until") else None
            words = f"for {clean(str(wait['reason'])).replace('_', ' ')}" + (f" until {clock(until)}" if until else "")
        reasons[words] = reasons.get(words, 0) + 1
    told = ", ".join(f"{count} {words}" for words, count in reasons.items())
    many = "1 run waits" if len(waiting) == 1 else f"{len(waiting)} runs wait"
    return f"{many}: {told}."
