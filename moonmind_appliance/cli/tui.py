"""`tui`: the terminal interface."""

import sys

import click

from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.configuration import owns_data
from moonmind_appliance.cli.exits import MEANINGS, CommandFailed, Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.models import Interface


@click.command(
    cls=Command,
    json=False,
    interface=Interface.TUI,
    examples=[
        ("Runs, shards and checks of the appliance on this machine", f"{PROGRAM} tui"),
        ("On a terminal with a light background", f"{PROGRAM} tui --theme light"),
    ],
)
@click.option(
    "--theme",
    type=click.Choice(["dark", "light", "none"]),
    help="Colour theme.  [default: none with NO_COLOR, light if COLORFGBG says so, else dark]",
)
@click.pass_obj
def tui(invocation: Invocation, theme: str | None) -> Exit:
    """Operate the appliance in the terminal.

    Submit runs, follow them, read their logs, cancel and retry them, sign shards in and out. It works directly on
    this machine's data folder, whether `serve` is running or not. The footer shows the keys, `?` shows all of them.
    Quitting never stops a run.
    """
    # Importing Textual takes a fifth of a second: only this command does it.
    from tui.terminal import terminal_problem, theme_of  # noqa: PLC0415

    problem = terminal_problem(sys.stdin, sys.stdout, sys.stderr, invocation.environment)
    if problem:
        raise CommandFailed(problem, hint=f"Use `{PROGRAM} runs` and `{PROGRAM} shards` instead.", code=Exit.USAGE)
    settings = invocation.settings(demanded=False)
    # A missing folder is created.
    if settings.moonmind_data_dir.exists() and not owns_data(settings.moonmind_data_dir):
        raise CommandFailed(
            f"The data folder {settings.moonmind_data_dir} belongs to another user.",
            hint="Run as the user that owns it, for example with sudo.",
            code=Exit.REFUSED,
        )
    from moonmind_appliance.attach import attach  # noqa: PLC0415 - not for a terminal that is refused
    from moonmind_appliance.cli.system_user import system_actor  # noqa: PLC0415
    from tui.app import TerminalApp  # noqa: PLC0415

    with attach(settings) as resources:
        app = TerminalApp(
            resources,
            system_actor(),
            theme_name=theme_of(invocation.environment, theme),
            environment=dict(invocation.environment),
            exit_codes=[(code.value, meaning) for code, meaning in MEANINGS.items()],
        )
        app.run()
        return Exit(app.return_code or 0)
