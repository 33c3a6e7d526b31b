"""`drain` and `resume`: stop the appliance from starting runs, and allow it again."""

import time
from pathlib import Path

import click
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.exits import CommandFailed
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.access import RunAccess
from moonmind_appliance.cli.runs.connect import access_options, open_access
from moonmind_appliance.cli.terminal import clean
from moonmind_appliance.views.drain_view import DrainView

_POLL_SECONDS = 0.5


@click.command(
    cls=Command,
    examples=[
        (
            "Before an upgrade: finish the running runs, then stop",
            f"{PROGRAM} drain --wait\nsystemctl stop moonmind-appliance",
        ),
        ("Wait at most an hour", f"timeout 3600 {PROGRAM} drain --wait"),
    ],
)
@click.option("--wait", is_flag=True, help="Return when no run is running any more.")
@access_options
@click.pass_obj
def drain(invocation: Invocation, server: str | None, token_file: Path | None, *, wait: bool) -> None:
    """Drain the appliance: it finishes its runs and starts no others.

    Runs are still accepted, and wait for `resume`, also across a restart. Over HTTP the command needs the operator
    role. With --wait the exit code is 0 when no run is running, 1 if someone resumed the appliance in the meantime,
    and 130 after Ctrl-C or SIGTERM; the appliance stays drained then. Safe to repeat.
    """
    with open_access(invocation, server, token_file) as access:
        state = access.drain()
        if wait:
            try:
                state = _wait(invocation, access, state)
            except KeyboardInterrupt:
                invocation.print_message(
                    f"The appliance stays drained: it starts no runs. Resume it with `{PROGRAM} resume`."
                )
                raise
    invocation.print_result(state, Text(_drained(state)))


@click.command(cls=Command, examples=[("After an upgrade", f"{PROGRAM} resume")])
@access_options
@click.pass_obj
def resume(invocation: Invocation, server: str | None, token_file: Path | None) -> None:
    """Resume a drained appliance: it starts runs again.

    Runs that waited for it start automatically. Shards that are paused stay paused. Over HTTP the command needs the
    operator role. Safe to repeat.
    """
    with open_access(invocation, server, token_file) as access:
        state = access.resume()
    invocation.print_result(state, Text("The appliance is resumed: `serve` starts runs again."))


def _wait(invocation: Invocation, access: RunAccess, state: DrainView) -> DrainView:
    """Wait until no run is running; reports each change.

    Raises:
        CommandFailed: someone resumed the appliance.
    """
    shown: list[str] | None = None
    while state.running:
        if state.running != shown:
            shown = state.running
            invocation.print_message(f"Waiting for {_runs(state.running)}.")
        time.sleep(_POLL_SECONDS)
        state = access.drain_state()
        if state.drained_at is None:
            raise CommandFailed(
                "The appliance was resumed while this command waited, so it starts runs again.",
                hint="Find out who resumed it, then run the command again.",
            )
    return state


def _drained(state: DrainView) -> str:
    shown = "The appliance is drained and starts no runs."
    if state.running:
        shown = f"The appliance is drained: it starts no runs, and finishes {_runs(state.running)}."
    if state.queued:
        shown += f" {state.queued} {'run waits' if state.queued == 1 else 'runs wait'}."
    return f"{shown} Resume it with `{PROGRAM} resume`."


def _runs(run_ids: list[str]) -> str:
    return f"{'run' if len(run_ids) == 1 else 'runs'} {', '.join(clean(run_id[:8]) for run_id in run_ids)}"
