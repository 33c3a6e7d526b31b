"""`restore`: restores a backup into an empty data folder."""

import sys
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Group
from rich.text import Text

from moonmind_appliance.archive import refused
from moonmind_appliance.cli.backup import contents, shown_progress
from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.exits import Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.terminal import facts
from moonmind_appliance.runs.restore import Restored
from moonmind_appliance.runs.restore import restore as restore_backup


@click.command(
    cls=Command,
    examples=[
        ("On a new server, before the first start", f"{PROGRAM} restore moonmind.tar.gz"),
        ("From another machine", f"ssh old.example.com {PROGRAM} backup - | {PROGRAM} restore -"),
        (
            "A second appliance beside the original",
            f"MOONMIND_DATA_DIR=/srv/second {PROGRAM} restore --new-id moonmind.tar.gz",
        ),
    ],
)
@click.argument(
    "file",
    metavar="FILE",
    # Without `readable` the answer would be that of a wrong command line.
    type=click.Path(exists=True, dir_okay=False, readable=False, allow_dash=True, path_type=Path),
)
@click.option("--new-id", is_flag=True, help="Give the appliance a new id, for a copy beside the original.")
@click.pass_obj
def restore(invocation: Invocation, file: Path, *, new_id: bool) -> Exit:
    """Restore a backup into an empty data folder; - is stdin.

    Refuses if the folder contains an appliance, or while `serve` uses it. The archive is checked completely before
    anything gets its place. A backup of an older version is migrated; one of a newer version is refused. Runs that were
    in progress are queued. Artifacts that are not in the backup are removed from the runs. Each shard's login is
    checked again: where the Docker volume has none, the shard needs `login-shard N`.
    """
    settings = invocation.settings(demanded=False)
    with ExitStack() as opened:
        try:
            source = sys.stdin.buffer if str(file) == "-" else opened.enter_context(file.open("rb"))
        except OSError as error:
            raise refused(file, error) from error
        progress = opened.enter_context(shown_progress(invocation.err))
        done = restore_backup(
            source,
            settings.moonmind_data_dir,
            keep_free=settings.min_free_disk,
            new_id=new_id,
            progress=progress,
        )
    invocation.print_result(done, _shown(done))
    return Exit.OK


def _shown(done: Restored) -> Group:
    pairs = [("restored into", done.data_dir), *contents(done.manifest)]
    if done.appliance_id != done.manifest.appliance_id:
        pairs.append(("new id", done.appliance_id))
    if done.runs_requeued:
        pairs.append(("runs queued again", f"{len(done.runs_requeued)} (in progress at the time of the backup)"))
    if done.artifacts_removed:
        pairs.append(("artifacts removed", f"{done.artifacts_removed:,} (not in the backup)"))
    steps = (
        f"Next: check the settings ({PROGRAM} settings), sign in again where a login is missing "
        f"({PROGRAM} login-shard 0), and start {PROGRAM} serve."
    )
    if done.drained:
        steps += f" The appliance was drained when it was backed up: run {PROGRAM} resume, so that it starts runs."
    return Group(facts(pairs), Text(f"\n{steps}"))
