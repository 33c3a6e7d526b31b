"""`runs retry`."""

from pathlib import Path

import click
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command, run_argument
from moonmind_appliance.cli.exits import Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.connect import access_options, open_access
from moonmind_appliance.cli.runs.run_text import accepted_text
from moonmind_appliance.cli.runs.watch import follow
from moonmind_appliance.cli.terminal import clean, state
from moonmind_appliance.models import PhaseName, PhaseStatus
from moonmind_appliance.views.run_detail import RunDetail


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
        run_id = access.find(run)
        before = access.detail(run_id) if wait else None
        accepted = access.retry(run_id)
        if before is not None:
            return follow(invocation, access, run_id, first_line=_continues(before), earlier=before.phases)
        queued = Text.assemble(f"Run {clean(accepted.run_id[:8])} is ", state(accepted.status), " again.")
        message = accepted_text(access, run_id, queued)
    invocation.print_result(accepted, message)
    return Exit.OK


def _continues(run: RunDetail) -> str:
    """Where the retried run continues."""
    todo = (phase.phase for phase in run.phases if phase.status is not PhaseStatus.SUCCEEDED)
    return f"Run {clean(run.short_id)} is queued again; it continues at {next(todo, PhaseName.CLEANUP)}."
