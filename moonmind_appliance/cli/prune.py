"""`prune`: removes what is past its retention time, or shows what would be removed."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import click
import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from moonmind_appliance.attach import attach
from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.terminal import STYLES, ago, line, table
from moonmind_appliance.resources import Resources
from moonmind_appliance.retention.plan import Item, Plan, make_plan
from moonmind_appliance.retention.prune import LABELS, owner_of, prune
from moonmind_appliance.store import DATABASE_NAME
from moonmind_appliance.units import size

# Rows of one kind that the table shows; JSON has all.
_MOST_ROWS = 100
_SHORT_IMAGE = 12


class State(StrEnum):
    """What became of an item."""

    PLANNED = "planned"
    REMOVED = "removed"
    FAILED = "failed"


class Pruned(Item, frozen=True, kw_only=True):
    """An item with its state, and why it was not removed."""

    state: State
    problem: str = ""


class Answer(msgspec.Struct, frozen=True):
    """The output in JSON. `bytes` is the known size of all items that are planned or removed."""

    dry_run: bool
    items: list[Pruned]
    bytes: int
    not_examined: list[str]


@click.command(
    "prune",
    cls=Command,
    examples=[
        ("See what would be removed now", f"{PROGRAM} prune --dry-run"),
        ("Remove it now, without waiting for the hourly job", f"{PROGRAM} prune"),
        ("Only the sizes, for a script", f"{PROGRAM} prune --dry-run --json | jq .bytes"),
    ],
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.pass_obj
def prune_command(invocation: Invocation, *, dry_run: bool) -> Exit:
    """Remove what is past its retention time.

    A running `serve` does the same every hour. Removes workspaces, caches of repositories, artifacts, specification
    texts and events after their retention times, files that agents left beside the logins, the volumes of sign-ins
    that were killed, and untagged images of the appliance's own builds that are older than a day. Never removes a
    login, files of a run that has not ended, or anything of another appliance. Can be run while `serve` is running.
    The exit code is 1 if something could not be removed, and 4 if Docker does not respond; everything else is
    removed nevertheless.
    """
    settings = invocation.settings()
    if not (settings.moonmind_data_dir / DATABASE_NAME).exists():
        raise CommandFailed(f"{settings.moonmind_data_dir} has no database, so there is nothing to remove.")
    with attach(settings) as resources:
        plan = make_plan(resources)
        if dry_run:
            items = [_of(item, State.PLANNED) for item in plan.items]
        else:
            items = _remove(resources, plan)
            failed = sum(item.state is State.FAILED for item in items)
            resources.store.events.add("retention.pruned", data={"removed": len(items) - failed, "failed": failed})
        now = resources.clock()
    total = sum(item.size_bytes or 0 for item in items if item.state is not State.FAILED)
    for problem in plan.not_examined:
        invocation.print_message(f"Not examined: {problem}")
    invocation.print_result(Answer(dry_run, items, total, plan.not_examined), _shown(items, total, now))
    return _exit(plan, items)


def _remove(resources: Resources, plan: Plan) -> list[Pruned]:
    return [
        _of(result.item, State.FAILED if result.problem else State.REMOVED, result.problem)
        for result in prune(resources, plan)
    ]


def _of(item: Item, state: State, problem: str = "") -> Pruned:
    return Pruned(**msgspec.structs.asdict(item), state=state, problem=problem)


def _exit(plan: Plan, items: Sequence[Pruned]) -> Exit:
    if plan.engine_failed:
        return Exit.UNAVAILABLE
    return Exit.FAILED if any(item.state is State.FAILED for item in items) else Exit.OK


def _shown(items: Sequence[Pruned], total: int, now: datetime) -> RenderableType:
    if not items:
        return Text("Nothing is past its retention time.")
    rows = table("WHAT", "OF", "AGE", "SIZE", "STATE", right={"AGE", "SIZE"}, optional=("AGE",))
    by_kind = defaultdict[str, list[Pruned]](list)
    for item in items:
        by_kind[item.kind].append(item)
    notes = []
    for of_kind in by_kind.values():
        for item in of_kind[:_MOST_ROWS]:
            style = STYLES["wrong"] if item.state is State.FAILED else ""
            state = f"{item.state}: {line(item.problem)}" if item.problem else item.state
            rows.add_row(LABELS[item.kind], _owner(item), _age(item, now), _size(item), Text(state, style))
        if len(of_kind) > _MOST_ROWS:
            notes.append(Text(f"{len(of_kind) - _MOST_ROWS} more of {LABELS[of_kind[0].kind]}; --json lists them."))
    unknown = sum(item.size_bytes is None for item in items)
    failed = sum(item.state is State.FAILED for item in items)
    counts = f"{len(items)} in total, {size(total)}"
    counts += f"; the size of {unknown} is unknown" if unknown else ""
    counts += f"; {failed} could not be removed" if failed else ""
    return Group(rows, *notes, Text(f"{counts}."))


def _owner(item: Item) -> str:
    if owner := owner_of(item):
        return owner
    if item.names:
        return item.names[0].removeprefix("sha256:")[:_SHORT_IMAGE]
    return f"{item.count} of ended runs"


def _age(item: Item, now: datetime) -> str:
    return ago(item.since, now).removesuffix(" ago")


def _size(item: Item) -> str:
    return "unknown" if item.size_bytes is None else size(item.size_bytes)
