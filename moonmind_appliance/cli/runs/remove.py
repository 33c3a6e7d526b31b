"""`runs remove`."""

from pathlib import Path

import click
import msgspec
from rich.text import Text

from moonmind_appliance.attach import attach
from moonmind_appliance.cli.command import PROGRAM, Command, run_argument
from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.connect import require_database
from moonmind_appliance.cli.system_user import system_actor
from moonmind_appliance.runs.remove import export_run, remove_run
from moonmind_appliance.views.run_summary import find_run


class Removed(msgspec.Struct, frozen=True):
    """The JSON output."""

    run_id: str
    exported_to: str | None


@click.command(
    cls=Command,
    examples=[
        (
            "Export a run whose record cannot be read, and remove it",
            f"{PROGRAM} runs remove 5b0c6a5e --export run.json",
        ),
        ("Without confirmation", f"{PROGRAM} runs remove 5b0c6a5e --yes"),
    ],
)
@click.option(
    "--export",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Before the removal, write all rows of the run to a new file, as JSON by table.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@run_argument
@click.pass_obj
def remove(invocation: Invocation, run: str, export: Path | None, *, yes: bool) -> Exit:
    """Remove a run: its record, events, artifacts and workspace.

    The run must have ended. A run whose record cannot be read (`record_unreadable`) can be removed at any time, unless
    a worker is executing it. Works only on the appliance's own machine, as the user that owns the data folder. A pull
    request on GitHub is not changed.
    """
    if invocation.as_json and not yes:
        raise click.UsageError("With --json the command cannot ask for confirmation: add --yes.")
    settings = invocation.settings(demanded=False)
    require_database(settings.moonmind_data_dir)
    with attach(settings) as resources:
        run_id = find_run(resources.store, system_actor(), run)
        rows = export_run(resources, run_id)
        if export is not None:
            _write(export, msgspec.json.format(msgspec.json.encode(rows), indent=2))
        if not yes and not click.confirm(f"Remove run {run_id} and its artifacts?", err=True):
            raise CommandFailed("The run was not removed.")
        remove_run(resources, run_id)
    exported = None if export is None else str(export)
    where = f"; its rows are in {exported}" if exported else ""
    invocation.print_result(Removed(run_id, exported), Text(f"Run {run_id[:8]} was removed{where}."))
    return Exit.OK


def _write(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as file:
            path.chmod(0o600)
            file.write(content)
    except OSError as error:
        hint = "Choose another file; an existing one is not overwritten."
        raise CommandFailed(f"{path} cannot be written: {error.strerror}.", hint=hint) from error
