"""`pause-shard` and `resume-shard`: stop a shard from accepting runs, and allow it again."""

import click
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.login_shard import shard_resources
from moonmind_appliance.runs import pause


@click.command(
    cls=Command,
    examples=[("Before its account is used elsewhere", f"{PROGRAM} pause-shard 1")],
)
@click.argument("shard", type=click.IntRange(0), metavar="N")
@click.pass_obj
def pause_shard(invocation: Invocation, shard: int) -> None:
    """Pause a shard: it accepts no new runs.

    A running run continues. The login is unchanged and still checked. Runs go to the other shards; runs pinned to this
    shard wait for `resume-shard`. Safe to repeat.
    """
    with shard_resources(invocation, shard) as resources:
        state = pause.pause_shard(resources, shard)
        running = next((run.short_id for run in resources.store.run_lists.in_progress() if run.shard == shard), None)
    shown = f"Shard {shard} is paused and accepts no new runs. Resume it with `{PROGRAM} resume-shard {shard}`."
    if running is not None:
        shown += f"\nRun {running} continues on it."
    invocation.print_result({"shard": state}, Text(shown))


@click.command(cls=Command, examples=[("Use it again", f"{PROGRAM} resume-shard 1")])
@click.argument("shard", type=click.IntRange(0), metavar="N")
@click.pass_obj
def resume_shard(invocation: Invocation, shard: int) -> None:
    """Resume a paused shard: it accepts runs again.

    Runs that waited for it start automatically. Safe to repeat.
    """
    with shard_resources(invocation, shard) as resources:
        state = pause.resume_shard(resources, shard)
    invocation.print_result({"shard": state}, Text(f"Shard {shard} accepts runs."))
