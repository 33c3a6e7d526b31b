"""`runs cancel` and `runs retry`."""

from pathlib import Path

import click
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command, run_argument
from moonmind_appliance.cli.exits import Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.watch import follow
from moonmind_appliance.cli.runs.way import access_options, open_access
from moonmind_appliance.cli.terminal import clean, state
from moonmind_appliance.models import RunStatus


@click.command(cls=Command, examples=[("The most recently submitted run", f"{PROGRAM} runs cancel latest")])
@run_argument
@access_options
@click.pass_obj
def cancel(invocation: Invocation, server: str | None, token_file: Path | None, run: str) -> None:
    """Cancel a run.

    A queued run is cancelled at once, a running one within seconds; a branch that was already pushed stays. `runs
    retry` queues it again.
    """
    with open_access(invocation, server, token_file) as access:
        answer = access.cancel(access.find(run))
    at_once = answer.status is RunStatus.CANCELLED
    words = " is cancelled." if at_once else " is being cancelled; this takes a few seconds."
    invocation.answer(answer, Text(f"Run {clean(answer.run_id[:8])}{words}"))


@click.command(
    cls=Command,
    examples=[
        ("Continue at the failed phase", f"{PROGRAM} runs retry 5b0c6a5e"),
        ("Retry and follow it", f"{PROGRAM} runs retry 5b0c6a5e --wait"),
    ],
)
@click.option("--wait", is_flag=True, help="Follow the run until it ends; exit code 7 if it fails.")
@run_argument
@access_options
@click.pass_obj
def retry(invocation: Invocation, server: str | None, token_file: Path | None, run: str, *, wait: bool) -> Exit:
    """Queue a failed or cancelled run again.

    It continues at its first unfinished phase: completed phases do not use model time again.
    """
    with open_access(invocation, server, token_file) as access:
        answer = access.retry(access.find(run))
        if wait:
            return follow(invocation, access, answer.run_id)
    told = Text.assemble(f"Run {clean(answer.run_id[:8])} is ", state(answer.status), " again.")
    invocation.answer(answer, told)
    return Exit.OK
