"""`audit`: shows who did what, over the API, the command line and the terminal interface."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click
from rich.console import RenderableType
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.connect import require_database
from moonmind_appliance.cli.terminal import clean, line, table
from moonmind_appliance.settings.values import time_span
from moonmind_appliance.store import Store
from moonmind_appliance.views.audit import AuditEntry, audit_entries

_MOST = 100_000


class Span(click.ParamType[timedelta]):
    """A time span such as 7d or 12h."""

    name = "span"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Convert the option's text."""
        if isinstance(value, timedelta):
            return value
        try:
            return timedelta(seconds=time_span(value.strip()))
        except ValueError as error:
            self.fail(f"{value!r} {error}.", param, ctx)


@click.command(
    cls=Command,
    examples=[
        ("The last changes", f"{PROGRAM} audit"),
        ("All changes of the last week, for a script", f"{PROGRAM} audit --since 7d --limit 100000 --json"),
        ("What one user did", f"{PROGRAM} audit --json | jq '.[] | select(.author.username == \"ann\")'"),
    ],
)
@click.option("--limit", type=click.IntRange(1, _MOST), default=50, show_default=True, help="Most changes to show.")
@click.option("--since", type=Span(), metavar="SPAN", help="Only changes of the last 12h, 7d, 4w, ….")
@click.pass_obj
def audit(invocation: Invocation, limit: int, since: timedelta | None) -> None:
    """Show who did what over the API, the command line and the TUI.

    It lists the changes that people and programs requested, newest first: submitted, cancelled, retried and removed
    runs; sign-ins, sign-outs and pauses of shards; drains; tokens; backups, restores and `prune`. Each has its user
    and its interface: api, command or tui. What the appliance does by itself is not in the list. It reads the database
    on this machine. Changes are kept as long as other events: 90 days, or ARTIFACT_RETENTION if that is longer; those
    of a run at least until it has ended.
    """
    settings = invocation.settings(demanded=False)
    require_database(settings.moonmind_data_dir)
    store = Store.open(settings.moonmind_data_dir)
    try:
        now = datetime.now(UTC)
        entries = audit_entries(store, limit=limit, since=None if since is None else now - since)
    finally:
        store.close()
    invocation.print_result(entries, _shown(entries))


def _shown(entries: Sequence[AuditEntry]) -> RenderableType:
    if not entries:
        return Text("No changes are recorded.")
    rows = table("TIME (UTC)", "USER", "BY", "CHANGE", optional=("BY",))
    for entry in entries:
        at = f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        rows.add_row(at, clean(entry.author.username), entry.author.interface.value, line(entry.line))
    return rows
