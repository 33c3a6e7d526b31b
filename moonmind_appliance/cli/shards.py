"""`shards`: shows each shard's login, its current run, and the runs that wait for it."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.connect import access_options, open_access
from moonmind_appliance.cli.runs.run_text import waits
from moonmind_appliance.cli.terminal import STYLES, ago, clean, clock, line, table
from moonmind_appliance.models import LoginState, QuotaWindow
from moonmind_appliance.shards.health import LOGIN_WORDS
from moonmind_appliance.views.run_summary import RunSummary, WaitingForDetail
from moonmind_appliance.views.shard_view import Severity, ShardView, quota_bars

_MARKS = {
    LoginState.PRESENT: "●",
    LoginState.ABSENT: "○",
    LoginState.DEAD: "✖",
    LoginState.REFUSED: "✖",
    LoginState.UNKNOWN: "?",
}


class Waiting(msgspec.Struct, frozen=True):
    """A queued run in `--json`."""

    run_id: str
    repository: str
    accepted_at: datetime
    waiting_for: WaitingForDetail | None


@click.command(
    cls=Command,
    examples=[
        ("All of them", f"{PROGRAM} shards"),
        ("Check that the logins still work, without using a model turn", f"{PROGRAM} shards --check"),
        ("On another machine, as an operator", f"{PROGRAM} shards --server https://moonmind.example.com"),
        ("Shards that need a login", f"{PROGRAM} shards --json | jq '.items[] | select(.login != \"present\").shard'"),
    ],
)
@click.option("--check", is_flag=True, help="Check and renew the logins now; only on the appliance's machine.")
@access_options
@click.pass_obj
def shards(invocation: Invocation, server: str | None, token_file: Path | None, *, check: bool) -> None:
    """Show each shard: login, quota, current run and waiting runs.

    The login state is the last one observed: a running `serve` checks it every minute and before each run. Over HTTP
    the command needs the operator role. Where a login is missing or no longer works, `login-shard N` creates a new
    one. With -v four facts about each login are shown: login file, access token, last renewal and last model turn.
    """
    if check:
        from moonmind_appliance.cli.check_logins import check_logins  # noqa: PLC0415 - a caller over HTTP needs no engine

        check_logins(invocation)
    with open_access(invocation, server, token_file) as access:
        items = access.shards()
        waiting = access.waiting()
        drained_at = access.drain_state().drained_at
    now = datetime.now(UTC)
    queued = [Waiting(run.run_id, run.repository, run.accepted_at, run.waiting_for) for run in waiting]
    invocation.print_result(
        {"items": items, "waiting": queued, "drained_at": drained_at},
        _shown(items, waiting, now, drained_at=drained_at, grades=invocation.verbose or check),
    )


def _shown(
    items: Sequence[ShardView],
    waiting: Sequence[RunSummary],
    now: datetime,
    *,
    drained_at: datetime | None,
    grades: bool,
) -> RenderableType:
    shown = table(
        "SHARD",
        "LOGIN",
        "ACCOUNT",
        "PLAN",
        "MADE",
        "ACCESS ENDS",
        "LAST TURN",
        "QUOTA USED",
        "NOW",
        right={"SHARD"},
        optional=("QUOTA USED", "PLAN", "MADE", "ACCESS ENDS", "LAST TURN"),
    )
    below: list[RenderableType] = []
    if drained_at is not None:
        since = f"The appliance is drained since {clock(drained_at)}: it starts no runs."
        below.append(Text(f"{since} Run `{PROGRAM} resume`.", "yellow"))
    for shard in items:
        shown.add_row(
            str(shard.shard),
            Text(f"{_MARKS[shard.login]} {LOGIN_WORDS[shard.login]}", STYLES.get(shard.login, "")),
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


def _trouble(shard: ShardView) -> list[RenderableType]:
    """Why the shard accepts no runs, and what to do about it."""
    shown: list[RenderableType] = []
    if shard.paused_at is not None:
        since = f"is paused since {clock(shard.paused_at)}"
        shown.append(Text(f"Shard {shard.shard} {since}. Run `{PROGRAM} resume-shard {shard.shard}`.", "yellow"))
    if shard.login in {LoginState.PRESENT, LoginState.UNKNOWN}:
        return shown
    why = line(shard.health.why or shard.login_reason)
    reason = f" ({why})" if why else ""
    since = f" since {clock(shard.health.since)}" if shard.health.since else ""
    to_do = clean(shard.health.next_step)
    shown.append(Text(f"Shard {shard.shard} accepts no runs{since}{reason}. {to_do}", "yellow"))
    return shown


def _grades(shard: ShardView, now: datetime) -> list[RenderableType]:
    """The four facts about the login, each with its time."""
    shown: list[RenderableType] = [Text(f"Shard {shard.shard}:", "bold")]
    for grade in shard.health.grades:
        mark, style = {True: ("✔", "green"), False: ("✖", "red"), None: ("?", "dim")}[grade.good]
        name = grade.name.replace("_", " ")
        at = f" {ago(grade.at, now)}" if grade.at else ""
        shown.append(Text.assemble("  ", (mark, style), f" {name}: {line(grade.words)}{at}"))
    return shown


def _access(shard: ShardView, now: datetime) -> Text:
    if shard.by_api_key:
        return Text("API key")
    if shard.access_expires_at is None:
        return Text("-")
    if shard.access_expires_at <= now:
        # The agent renews it at the next turn; the login is invalid only if that is refused.
        return Text("refresh due", "yellow")
    return Text(ago(shard.access_expires_at, now))


def _doing(shard: ShardView, now: datetime) -> Text:
    if shard.run_id:
        return Text(f"run {clean(shard.run_id[:8])}", "cyan")
    if shard.paused_at is not None:
        return Text("paused", "yellow")
    if shard.rests_until is not None and shard.rests_until > now:
        return Text(f"cools down until {clock(shard.rests_until)}", "yellow")
    return Text("idle", "dim")


def quota_text(windows: Sequence[QuotaWindow], now: datetime) -> Text:
    """Each window's length, used share, and reset time: `5 h 40 %, 7 d 12 %`."""
    text = Text()
    for bar in quota_bars(windows, now):
        if text:
            text.append(", ")
        if bar.label:
            text.append(f"{bar.label} ", "dim")
        nearly_used = bar.severity is not Severity.OK
        text.append(f"{bar.used_percent:.0f} %", "bold red" if nearly_used else "")
        if nearly_used and bar.resets_at is not None:
            text.append(f" until {clock(bar.resets_at)}", "dim")
    return text or Text("-")


def _waiting_text(waiting: Sequence[RunSummary]) -> str:
    """How many runs wait, and for what."""
    many, turn = ("1 run waits", "its turn") if len(waiting) == 1 else (f"{len(waiting)} runs wait", "their turn")
    reasons = Counter(waits(run).removeprefix("waits ") or f"for {turn}" for run in waiting)
    if len(reasons) == 1:
        return f"{many} {next(iter(reasons))}."
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    return f"{many}: {counts}."
