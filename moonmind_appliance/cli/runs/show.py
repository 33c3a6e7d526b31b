"""`runs show`: all details of one run."""

from pathlib import Path

import click
from rich.console import Group, RenderableType
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command, run_argument
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.connect import access_options, open_access
from moonmind_appliance.cli.runs.run_text import head, outcome, phases_table
from moonmind_appliance.cli.terminal import clean


@click.command(
    cls=Command,
    examples=[
        ("The last one", f"{PROGRAM} runs show latest"),
        ("Why it failed, for a script", f"{PROGRAM} runs show 5b0c6a5e --json | jq .failure"),
    ],
)
@run_argument
@access_options
@click.pass_obj
def show(invocation: Invocation, server: str | None, token_file: Path | None, run: str) -> None:
    """Show all details of a run."""
    with open_access(invocation, server, token_file) as access:
        detail = access.detail(access.find(run))
    parts: list[RenderableType] = [head(detail), Text(), phases_table(detail), Text(), outcome(detail)]
    if detail.artifacts:
        many = len(detail.artifacts)
        shown = f"{many} artifact{'s' * (many > 1)}: {PROGRAM} runs artifacts {clean(detail.short_id)}"
        parts.append(Text(shown, "dim"))
    invocation.print_result(detail, Group(*parts))
