"""`runs cancel`."""

from pathlib import Path

import click
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command, run_argument
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.connect import access_options, open_access
from moonmind_appliance.cli.terminal import clean
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
        accepted = access.cancel(access.find(run))
    at_once = accepted.status is RunStatus.CANCELLED
    outcome = " is cancelled." if at_once else " is being cancelled; this takes a few seconds."
    invocation.print_result(accepted, Text(f"Run {clean(accepted.run_id[:8])}{outcome}"))
