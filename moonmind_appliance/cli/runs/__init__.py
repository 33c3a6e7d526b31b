"""`runs`: the commands for runs, over HTTP or on the appliance's own data folder; one file per verb."""

import click

from moonmind_appliance.cli.command import PROGRAM, Lazy, LazyGroup

_HERE = "moonmind_appliance.cli.runs"

COMMANDS = {
    "submit": Lazy(f"{_HERE}.submit:submit", "Submit a specification; with --wait, follow it to its end."),
    "list": Lazy(f"{_HERE}.list_runs:list_runs", "List runs, newest first."),
    "show": Lazy(f"{_HERE}.show:show", "Show all details of a run."),
    "watch": Lazy(f"{_HERE}.watch:watch", "Follow a run's phases until it ends."),
    "logs": Lazy(f"{_HERE}.logs:logs", "Print the output of a run's phases."),
    "artifacts": Lazy(f"{_HERE}.artifacts:artifacts", "List or download a run's artifacts."),
    "cancel": Lazy(f"{_HERE}.cancel:cancel", "Cancel a run."),
    "retry": Lazy(f"{_HERE}.retry:retry", "Queue a failed or cancelled run again."),
    "remove": Lazy(f"{_HERE}.remove:remove", "Remove a run: its record, events, artifacts and workspace."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    examples=[
        (
            "From a specification to its pull request",
            f"{PROGRAM} runs submit --repository owner/name --spec spec.md --wait",
        ),
        ("Recent runs", f"{PROGRAM} runs list"),
        ("Why the latest run failed", f"{PROGRAM} runs show latest"),
    ],
)
def runs() -> None:
    """Submit and follow runs, read their logs, download their artifacts.

    RUN is a run's id, its first characters, or `latest`. The commands use HTTP to --server, with the token of
    --token-file, MOONMIND_API_TOKEN or `moonmind-appliance login`. On the appliance's own machine, without any of
    these, a user who can write to the data folder uses it directly, as operator. -v shows which connection is used.
    """
