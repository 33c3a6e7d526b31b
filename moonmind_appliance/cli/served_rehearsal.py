"""`rehearse --serve`: serves until a signal, and prints how to call the appliance."""

import shlex
from collections.abc import Mapping
from contextlib import suppress

import click
import msgspec
from rich.text import Text

from moonmind_appliance.api_address import AddressUnavailable
from moonmind_appliance.cli.command import PROGRAM
from moonmind_appliance.cli.exits import CommandFailed, Exit, exit_of_address
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.phase_board import PhaseBoard
from moonmind_appliance.cli.stop_requests import stop_requests
from moonmind_appliance.cli.terminal import facts
from moonmind_appliance.rehearsal.prepare import Progress, RehearsalOptions, RehearsalStopped
from moonmind_appliance.rehearsal.serve import ServedRehearsal, serve_rehearsal
from moonmind_appliance.settings import Settings
from moonmind_appliance.settings import options as settings_by_name

# These decide how `runs` connects, before any setting.
_CONNECTION = ("MOONMIND_SERVER", "MOONMIND_API_TOKEN")
_COMMANDS = ("tui", "runs watch latest", "shards", "login-shard 0", "doctor")


def serve(
    invocation: Invocation, settings: Settings, rehearsal: RehearsalOptions, port: int, command_prefix: str
) -> Exit:
    """Serve a rehearsal until Ctrl-C or SIGTERM."""
    board = PhaseBoard(invocation.progress)

    def show_progress(progress: Progress) -> None:
        board.print_line(progress.text)

    def show(served: ServedRehearsal) -> None:
        commands = attached_commands(served.env_file, invocation.environment, command_prefix)
        if invocation.as_json:
            invocation.print_result({**msgspec.to_builtins(served), "commands": commands})
        else:
            _print(invocation, served, commands)

    with stop_requests() as stopped:
        try:
            serve_rehearsal(settings, rehearsal, port=port, on_progress=show_progress, on_ready=show, stopped=stopped)
        except RehearsalStopped:
            raise KeyboardInterrupt from None
        except AddressUnavailable as error:
            hint = error.hint.replace("set MOONMIND_PORT", "use another --port")
            raise CommandFailed(error.message, hint=hint, code=exit_of_address(error.errno)) from None
        # The terminal may be gone, which was the reason for the stop.
        with suppress(OSError):
            invocation.print_message("Stopped." if rehearsal.keep else "Stopped; everything is removed.")
    return Exit.OK


def attached_commands(env_file: str, environment: Mapping[str, str], prefix: str) -> list[str]:
    """Commands that work with the served appliance, in a shell with this environment.

    Variables override the env file: those that are set are unset for the command.
    """
    names = [*_CONNECTION, *(name for option in settings_by_name() for name in (option, f"{option}_FILE"))]
    unset = " ".join(f"-u {name}" for name in names if environment.get(name))
    start = " ".join(part for part in (prefix, f"env {unset}" if unset else "", PROGRAM) if part)
    return [f"{start} {command} --env-file {shlex.quote(env_file)}" for command in _COMMANDS]


def exports(served: ServedRehearsal) -> str:
    """The variables of the examples in docs/api.md, for a POSIX shell.

    The token is the operator's: an example needs that role, and `runs` in the same shell uses this token.
    """
    return f"export BASE={served.api_url}\nexport MOONMIND_API_TOKEN={served.operator_token}"


def _print(invocation: Invocation, served: ServedRehearsal, commands: list[str]) -> None:
    """Each thing to copy is on lines of its own, never wrapped."""
    invocation.print_part(Text("\nThe rehearsal runs until Ctrl-C. Everything is removed then.\n", "bold green"))
    pairs: list[tuple[str, str | Text]] = [
        ("API", served.api_url),
        ("API's page", served.schema_url),
        ("token", served.token),
        ("operator token", f"{served.operator_token} (all runs, and /shards)"),
        ("repository", f"{served.repository}, branch {served.base_branch}"),
        ("pull requests", f"{served.github_url}/{served.repository}/pulls"),
        ("GitHub's REST API", served.github_api_url),
        ("Postman", served.postman_environment),
        ("env file", served.env_file),
    ]
    invocation.print_part(facts(pairs))
    click.echo(
        f"\nSubmit a run:\n\n{served.curl}\n\nSet the variables of the examples in docs/api.md:\n\n{exports(served)}"
    )
    click.echo("\nFollow it, in another terminal on this machine:\n")
    click.echo("\n".join(commands))
