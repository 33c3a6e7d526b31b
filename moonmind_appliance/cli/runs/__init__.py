"""`runs`: everything that can be done to a run, over HTTP or on the appliance's own data folder; a verb a file."""

import click

from moonmind_appliance.cli.command import PROGRAM, Lazy, LazyGroup

_HERE = "moonmind_appliance.cli.runs"

COMMANDS = {
    "submit": Lazy(f"{_HERE}.submit:submit", "Submit a specification; with --wait, follow it to its end."),
    "list": Lazy(f"{_HERE}.list_runs:list_runs", "List runs, newest first."),
    "show": Lazy(f"{_HERE}.show:show", "Show everything that is known of a run."),
    "watch": Lazy(f"{_HERE}.watch:watch", "Follow a run's phases until it ends."),
    "logs": Lazy(f"{_HERE}.logs:logs", "Print what the phases said."),
    "artifacts": Lazy(f"{_HERE}.artifacts:artifacts", "List what a run left, or download it."),
    "cancel": Lazy(f"{_HERE}.steer:cancel", "End a run."),
    "retry": Lazy(f"{_HERE}.steer:retry", "Queue a failed or cancelled run again."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    examples=[
        (
            "From a specification to its pull request",
            f"{PROGRAM} runs submit --repository owner/name --spec spec.md --wait",
        ),
        ("What happened lately", f"{PROGRAM} runs list"),
        ("Why the last one failed", f"{PROGRAM} runs show latest"),
    ],
)
def runs() -> None:
    """Submit runs, follow them, get their logs and artifacts.

    RUN is a run's id, its first characters, or `latest`. The commands speak HTTP to --server with the token of
    --token-file, of MOONMIND_API_TOKEN, or of `moonmind-appliance login`. On the appliance's own machine, without any
    of these, whoever may write the data folder works on it directly, as operator; -v says which way was taken.
    """
