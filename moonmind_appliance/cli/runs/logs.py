"""`runs logs`: the output of the phases, so far or live."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from rich.text import Text

from moonmind_appliance.agents.codex_events import event_lines
from moonmind_appliance.cli.command import PROGRAM, Command, run_argument
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.access import RunAccess
from moonmind_appliance.cli.runs.connect import access_options, open_access
from moonmind_appliance.cli.terminal import clean
from moonmind_appliance.models import PHASE_ORDER
from moonmind_appliance.views.phase_logs import phase_logs


class LogLine(msgspec.Struct, frozen=True):
    """One line of one stream of one attempt of a phase."""

    phase: str
    stream: str
    attempt: int
    line: str


@click.command(
    cls=Command,
    examples=[
        ("Everything so far", f"{PROGRAM} runs logs latest"),
        ("One phase, while it runs", f"{PROGRAM} runs logs latest --phase speckit_plan --follow"),
        (
            "The agent's own events",
            f"{PROGRAM} runs logs 5b0c6a5e --phase speckit_plan --stream stdout --raw | jq .type",
        ),
    ],
)
@run_argument
@click.option("--phase", type=click.Choice([name.value for name in PHASE_ORDER]), help="Only this phase.")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only standard output, or only standard error.")
@click.option("-f", "--follow", "following", is_flag=True, help="Continue until the run ends.")
@click.option(
    "--raw",
    is_flag=True,
    help="Print the stored lines unchanged; by default Codex's events are shown as readable text.",
)
@access_options
@click.pass_obj
def logs(  # noqa: PLR0917 - click calls by name
    invocation: Invocation,
    server: str | None,
    token_file: Path | None,
    run: str,
    phase: str | None,
    stream: str | None,
    *,
    following: bool,
    raw: bool,
) -> None:
    """Print the output of a run's phases.

    Prints standard output and standard error of every attempt, by phase. With --json each line is an object with
    `phase`, `stream`, `attempt` and `line`.
    """
    with open_access(invocation, server, token_file) as access:
        run_id = access.find(run)
        lines = _following(access, run_id) if following else _kept(access, run_id)
        before = ("", "", 0)
        for found in lines:
            if phase not in {None, found.phase} or stream not in {None, found.stream}:
                continue
            if invocation.as_json:
                invocation.json_line(found)
                continue
            here = (found.phase, found.stream, found.attempt)
            if here != before and not raw:
                _heading(invocation, found)
            before = here
            _print(invocation, found, raw=raw)


def _kept(access: RunAccess, run_id: str) -> Iterator[LogLine]:
    """The current logs, phase by phase."""
    for log in phase_logs(access.detail(run_id).artifacts):
        for text in _lines(access.content(run_id, log.artifact_id)):
            yield LogLine(log.phase.value, log.stream, log.attempt, text)


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    held = b""
    for piece in pieces:
        *whole, held = (held + piece).split(b"\n")
        yield from (text.decode(errors="replace") for text in whole)
    if held:
        yield held.decode(errors="replace")


def _following(access: RunAccess, run_id: str) -> Iterator[LogLine]:
    for event in access.events(run_id):
        if event.kind == "log":
            yield msgspec.convert(event.data, LogLine)


def _heading(invocation: Invocation, found: LogLine) -> None:
    again = f", attempt {found.attempt}" if found.attempt > 1 else ""
    invocation.out.print(Text(f"── {clean(found.phase)} {clean(found.stream)}{again}", "bold cyan"), soft_wrap=True)


def _print(invocation: Invocation, found: LogLine, *, raw: bool) -> None:
    if raw:
        # On a terminal even raw lines must not contain escape sequences.
        invocation.out.print(clean(found.line) if invocation.out.is_terminal else found.line, soft_wrap=True)
        return
    shown = [found.line]
    if found.phase.startswith("speckit_") and found.stream == "stdout":
        shown = [line.text for line in event_lines(found.line)]
    for text in shown:
        invocation.out.print(Text(clean(text), "red" if found.stream == "stderr" else ""), soft_wrap=True)
