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


@click.command(cls=Command, examples=[("The run that was submitted last", f"{PROGRAM} runs cancel latest")])
@run_argument
@access_options
@click.pass_obj
def cancel(invocation: Invocation, server: str | None, token_file: Path | None, run: str) -> None:
    """End a run.

    A queued run is cancelled at once, one in progress within seconds; what it pushed already stays. `runs retry` queues
    it again.
    """
    with open_access(invocation, server, token_file) as access:
        answer = access.cancel(access.find(run))
    at_once = answer.status is RunStatus.CANCELLED
    words = " is cancelled." if at_once else " is told to end; it will be cancelled within seconds."
    invocation.answer(answer, Text(f"Run {clean(answer.run_id[:8])}{words}"))


@click.command(
    cls=Command,
    examples=[
        ("Go on where it failed", f"{PROGRAM} runs retry 5b0c6a5e"),
        ("And follow it", f"{PROGRAM} runs retry 5b0c6a5e --wait"),
    ],
)
@click.option("--wait", is_flag=True, help="Follow the run to its end; exit code 7 when it fails.")
@run_argument
@access_options
@click.pass_obj
def retry(invocation: Invocation, server: str | None, token_file: Path | None, run: str, *, wait: bool) -> Exit:
    """Queue a failed or cancelled run again.

    It goes on at its first phase that is not done: model time that was spent is not spent again.
    """
    with open_access(invocation, server, token_file) as access:
        answer = access.retry(access.find(run))
        if wait:
            return follow(invocation, access, answer.run_id)
    told = Text.assemble(f"Run {clean(answer.run_id[:8])} is ", state(answer.status), " again.")
    invocation.answer(answer, told)
    return Exit.OK
