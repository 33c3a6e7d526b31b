"""`pause-shard` and `resume-shard`: keep a shard from taking runs for a while."""

import click
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.login_shard import shard_tools
from moonmind_appliance.runs import pause


@click.command(
    cls=Command,
    examples=[("Before its account is used for something else", f"{PROGRAM} pause-shard 1")],
)
@click.argument("shard", type=click.IntRange(0), metavar="N")
@click.pass_obj
def pause_shard(invocation: Invocation, shard: int) -> None:
    """Let a shard take no more runs.

    A run in progress on it goes on. The login stays as it is and is still checked. Runs go to the other shards; those
    that may use this one only wait for `resume-shard`. Safe twice.
    """
    with shard_tools(invocation, shard) as tools:
        state = pause.pause_shard(tools, shard)
        running = next((run.short_id for run in tools.store.runs.in_progress() if run.shard == shard), None)
    shown = f"Shard {shard} is paused and takes no more runs. {PROGRAM} resume-shard {shard} ends that."
    if running is not None:
        shown += f"\nRun {running} is in progress on it and goes on."
    invocation.answer({"shard": state}, Text(shown))


@click.command(cls=Command, examples=[("Use it again", f"{PROGRAM} resume-shard 1")])
@click.argument("shard", type=click.IntRange(0), metavar="N")
@click.pass_obj
def resume_shard(invocation: Invocation, shard: int) -> None:
    """Let a paused shard take runs again.

    Runs that waited for it start by themselves. Safe twice.
    """
    with shard_tools(invocation, shard) as tools:
        state = pause.resume_shard(tools, shard)
    invocation.answer({"shard": state}, Text(f"Shard {shard} takes runs."))
