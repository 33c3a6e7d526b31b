"""`runs watch`: shows a run's phases until its end, also across a restart of the appliance."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Group
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command, run_argument
from moonmind_appliance.cli.exits import Exit, exit_of
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.phase_board import PhaseBoard
from moonmind_appliance.cli.runs.access import RunAccess
from moonmind_appliance.cli.runs.connect import access_options, open_access
from moonmind_appliance.cli.runs.run_text import outcome, waits
from moonmind_appliance.cli.terminal import clean, state
from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.models import PhaseStatus, RunStatus
from moonmind_appliance.units import duration
from moonmind_appliance.views.run_detail import PhaseDetail, RunDetail

_POLL_SECONDS = 0.5
_RETRY_SECONDS = 2.0
# Longer than a restart takes: after this the appliance counts as down.
_MOST_RETRY_SECONDS = 300.0


@click.command(
    cls=Command,
    examples=[
        ("The most recently submitted run", f"{PROGRAM} runs watch latest"),
        ("In a script, for its pull request", f"{PROGRAM} runs watch 5b0c6a5e --json | jq -r .pull_request_url"),
    ],
)
@run_argument
@access_options
@click.pass_obj
def watch(invocation: Invocation, server: str | None, token_file: Path | None, run: str) -> Exit:
    """Follow a run's phases until it ends.

    Shows the pull request at the end, or the failure code, who acts, and the next step; the exit code is then 7.
    Ctrl-C stops watching, not the run. With --json, progress goes to stderr and the complete run to stdout at its end.
    """
    with open_access(invocation, server, token_file) as access:
        return follow(invocation, access, access.find(run))


def follow(
    invocation: Invocation,
    access: RunAccess,
    run_id: str,
    *,
    first_line: str = "",
    earlier: Sequence[PhaseDetail] = (),
) -> Exit:
    """Print the first line, show the run until its end, and return its outcome.

    `earlier` are the phases before a retry: what they show is not news.
    """
    board = PhaseBoard(invocation.progress)
    try:
        if first_line:
            invocation.progress.print(Text(first_line), soft_wrap=True)
        run = access.detail(run_id)
        with board.live():
            while not _show_on_board(board, run, earlier):
                time.sleep(_POLL_SECONDS)
                run = _read_again(board, access, run_id)
    except KeyboardInterrupt:
        invocation.print_message(f"The run continues. Follow it again with: {PROGRAM} runs watch {run_id[:8]}")
        raise
    took = run.completed_at - run.started_at if run.completed_at and run.started_at else None
    ended = Text.assemble(
        "\nThe run ended: ", state(run.status), f" after {duration(took.total_seconds())}." if took else "."
    )
    invocation.print_result(run, Group(ended, outcome(run)))
    return Exit.RUN_FAILED if run.status in {RunStatus.FAILED, RunStatus.CANCELLED} else Exit.OK


def _show_on_board(board: PhaseBoard, run: RunDetail, earlier: Sequence[PhaseDetail]) -> bool:
    """Show the run's state on the board; True if the run has ended."""
    now = datetime.now(UTC)
    for phase in run.phases:
        is_news = phase not in earlier
        # A retry does again what did not succeed: until then the phase is pending.
        if is_news or phase.status is PhaseStatus.SUCCEEDED:
            board.phase(phase.phase, phase.status, phase.attempt, phase.seconds(now), is_news=is_news)
    if not run.final:
        where = "" if run.shard is None or run.status == RunStatus.QUEUED else f" on shard {run.shard}"
        wait = f", {waits(run)}" if run.waiting_for else ""
        board.headline(f"{clean(run.short_id)} {clean(run.repository)}: {run.status}{where}{wait}")
    else:
        board.headline("")
    return run.final


def _read_again(board: PhaseBoard, access: RunAccess, run_id: str) -> RunDetail:
    """The run now; waits for an appliance that is unavailable for a while, as at a restart."""
    limit = time.monotonic() + _MOST_RETRY_SECONDS
    while True:
        try:
            return access.detail(run_id)
        except ApplianceError as error:
            if exit_of(error) is not Exit.UNAVAILABLE or time.monotonic() > limit:
                raise
            board.headline(f"{run_id[:8]}: the appliance does not respond; trying again")
            time.sleep(_RETRY_SECONDS)
