"""`runs list`: the latest runs."""

from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Group
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.connect import access_options, open_access
from moonmind_appliance.cli.runs.run_text import status_text
from moonmind_appliance.cli.terminal import ago, clean, table
from moonmind_appliance.models import RunStatus
from moonmind_appliance.units import duration
from moonmind_appliance.views.run_summary import RunSummary

_LONGEST = 200


@click.command(
    cls=Command,
    name="list",
    examples=[
        ("The latest runs", f"{PROGRAM} runs list"),
        ("Failed runs", f"{PROGRAM} runs list --status failed"),
        (
            "One run by your own reference",
            f"{PROGRAM} runs list --external-ref build-1841 --json | jq -r '.items[0].run_id'",
        ),
        ("The next page", f"{PROGRAM} runs list --cursor CURSOR"),
    ],
)
@click.option("--status", type=click.Choice([status.value for status in RunStatus]), help="Only runs in this status.")
@click.option("--repository", metavar="OWNER/NAME", help="Only runs for this repository.")
@click.option("--external-ref", metavar="TEXT", help="Only runs with exactly this reference.")
@click.option(
    "--limit",
    type=click.IntRange(1, _LONGEST),
    default=20,
    show_default=True,
    metavar="N",
    help="Maximum number of runs.",
)
@click.option("--cursor", metavar="CURSOR", help="Continue after the previous page.")
@access_options
@click.pass_obj
def list_runs(  # noqa: PLR0917 - click calls by name
    invocation: Invocation,
    server: str | None,
    token_file: Path | None,
    status: str | None,
    repository: str | None,
    external_ref: str | None,
    limit: int,
    cursor: str | None,
) -> None:
    """List runs, newest first.

    You see the runs that you submitted; an operator sees all runs.
    """
    with open_access(invocation, server, token_file) as access:
        page = access.page(
            status=RunStatus(status) if status else None,
            repository=repository,
            external_ref=external_ref,
            limit=limit,
            cursor=cursor,
        )
    now = datetime.now(UTC)
    shown = table(
        "RUN",
        "STATUS",
        "REPOSITORY",
        "BY",
        "SUBMITTED",
        "TOOK",
        "RESULT",
        right={"TOOK"},
        optional=("SUBMITTED", "TOOK", "BY"),
    )
    for run in page.items:
        seconds = run.seconds(now)
        shown.add_row(
            Text(clean(run.short_id), "bold"),
            status_text(run),
            clean(run.repository),
            clean(run.created_by.username),
            Text(ago(run.accepted_at, now), "dim"),
            "" if seconds is None else duration(seconds),
            _result(run, short=invocation.out.is_terminal),
        )
    below = [Text(f"\nOlder runs: --cursor {clean(page.next_cursor)}", "dim")] if page.next_cursor else []
    nothing = Text("No run matches." if any((status, repository, external_ref)) else "There are no runs yet.", "dim")
    invocation.print_result(page, Group(shown, *below) if page.items else nothing)


def _result(run: RunSummary, *, short: bool) -> Text:
    """The pull request, the failure's code, or nothing yet. A terminal gets a link, a pipe the whole address."""
    if run.failure is not None:
        return Text(run.failure.code, "red")
    if run.pull_request_url:
        address = clean(run.pull_request_url)
        return Text(f"pull request {address.rpartition('/')[2]}", f"link {address}") if short else Text(address)
    return Text("dry run" if run.dry_run and run.final else "", "dim")
