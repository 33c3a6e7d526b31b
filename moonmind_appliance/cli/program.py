"""The program: its commands, and the conversion of every error to one line and an exit code."""

import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Lazy, LazyGroup
from moonmind_appliance.cli.exits import MEANINGS, Exit, exit_of
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.signals import stopped_by_signals
from moonmind_appliance.cli.terminal import clean, console
from moonmind_appliance.errors import ApplianceError, RequestError
from moonmind_appliance.version import appliance_version

_HERE = "moonmind_appliance.cli"

COMMANDS: Mapping[str, Lazy] = {
    "serve": Lazy(f"{_HERE}.serve:serve", "Run the appliance: API and workers, until it is stopped."),
    "tui": Lazy(f"{_HERE}.tui:tui", "Operate the appliance in the terminal."),
    "rehearse": Lazy(f"{_HERE}.rehearse:rehearse", "Do a complete run against local stand-ins, without any account."),
    "doctor": Lazy(f"{_HERE}.doctor:doctor", "Check everything that a run needs, and show how to fix problems."),
    "settings": Lazy(f"{_HERE}.settings:settings", "Show every setting with its value and source."),
    "shards": Lazy(f"{_HERE}.shards:shards", "Show each shard: login, quota, current run and waiting runs."),
    "login-shard": Lazy(f"{_HERE}.login_shard:login_shard", "Sign a shard in to ChatGPT by device code."),
    "logout-shard": Lazy(f"{_HERE}.login_shard:logout_shard", "Sign a shard out: the login is revoked and removed."),
    "pause-shard": Lazy(f"{_HERE}.pause_shard:pause_shard", "Pause a shard: it accepts no new runs."),
    "resume-shard": Lazy(f"{_HERE}.pause_shard:resume_shard", "Resume a paused shard: it accepts runs again."),
    "drain": Lazy(f"{_HERE}.drain:drain", "Drain the appliance: it finishes its runs and starts no others."),
    "resume": Lazy(f"{_HERE}.drain:resume", "Resume a drained appliance: it starts runs again."),
    "prune": Lazy(f"{_HERE}.prune:prune_command", "Remove what is past its retention time."),
    "purge": Lazy(f"{_HERE}.purge:purge", "Remove what an appliance left on the Docker engine."),
    "backup": Lazy(f"{_HERE}.backup:backup", "Write a backup of the appliance to a file; - is stdout."),
    "restore": Lazy(f"{_HERE}.restore:restore", "Restore a backup into an empty data folder; - is stdin."),
    "support-bundle": Lazy(
        f"{_HERE}.support_bundle:support_bundle", "Write one redacted archive for a bug report; - is stdout."
    ),
    "audit": Lazy(f"{_HERE}.audit:audit", "Show who did what over the API, the command line and the TUI."),
    "token": Lazy(f"{_HERE}.token:token", "Create, list and revoke API tokens."),
    "webhook": Lazy(f"{_HERE}.webhook:webhook", "Test the webhook."),
    "login": Lazy(f"{_HERE}.login:login", "Log in to Keycloak, to use `runs` from this machine."),
    "logout": Lazy(f"{_HERE}.login:logout", "Remove the saved Keycloak login."),
    "runs": Lazy(f"{_HERE}.runs:runs", "Submit and follow runs, read their logs, download their artifacts."),
    "version": Lazy(f"{_HERE}.version:version", "Show the versions of the appliance and its tools."),
}


class Program(LazyGroup):
    """The root command: no error ends in a stack trace."""

    def main(  # type: ignore[override] # click's overloads only describe the mode that is not used here
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        **extra: Any,  # noqa: ANN401 - passed on to click
    ) -> NoReturn:
        """Run, and exit with one of `Exit`."""
        extra.pop("standalone_mode", None)
        invocation = Invocation()
        with stopped_by_signals():
            try:
                code = super().main(
                    args, prog_name or PROGRAM, complete_var, standalone_mode=False, obj=invocation, **extra
                )
            except (KeyboardInterrupt, click.Abort):
                show_error(invocation, "stopped")
                code = Exit.INTERRUPTED
            except click.ClickException as error:
                code = _usage(invocation, error)
            except ApplianceError as error:
                if invocation.debug:
                    _show_trace(invocation)
                show_error(invocation, error)
                code = exit_of(error)
            except ModuleNotFoundError as error:
                code = _not_installed(invocation, error)
            except Exception as error:  # noqa: BLE001 - the last place that can report a defect as one line
                code = _defect(invocation, error)
        sys.exit(int(code or Exit.OK))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Exit codes, after the examples."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), meaning) for code, meaning in MEANINGS.items()])


def _print_version(context: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's callbacks
    if value:
        click.echo(f"{PROGRAM} {appliance_version()}")
        context.exit()


@click.group(
    cls=Program,
    lazy=dict(COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=[
        ("Do a complete run without any account", f"{PROGRAM} rehearse"),
        ("Find out what is missing for real runs", f"{PROGRAM} doctor"),
        ("Sign the first shard in, and start", f"{PROGRAM} login-shard 0\n{PROGRAM} serve"),
        (
            "Submit a specification and wait for its pull request",
            f"{PROGRAM} runs submit --repository owner/name --spec spec.md --wait",
        ),
    ],
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the appliance's version; `version` also shows those of its tools.",
)
def main() -> None:
    """Turns a specification text into a draft pull request.

    Every command has --help, with examples, and --json for programs: stdout then contains only JSON, everything else
    goes to stderr. Settings come from the environment and an env file; `settings` shows them.
    """


def show_error(invocation: Invocation, error: ApplianceError | str) -> None:
    """`error: what, where. what to do`, with a line for each field of a request."""
    text = Text()
    text.append("error: ", "bold red")
    if isinstance(error, RequestError) and error.fields:
        text.append(clean(error.message))
        for field, message in error.fields:
            text.append(f"\n  {clean(field)}: {clean(message)}")
    else:
        text.append(clean(str(error)))
    invocation.err.print(text, soft_wrap=True)


def _usage(invocation: Invocation, error: click.ClickException) -> Exit:
    message = clean(error.format_message())
    show_error(invocation, message if message.endswith((".", "?")) else f"{message}.")
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        invocation.err.print(f"See `{context.command_path} --help`.", style="dim", soft_wrap=True)
    return Exit.USAGE if isinstance(error, click.UsageError) else Exit.FAILED


def _not_installed(invocation: Invocation, error: ModuleNotFoundError) -> Exit:
    """The package alone is enough for callers over HTTP; the other commands need its extra `server`."""
    package = (error.name or "").partition(".")[0]
    if package in {"", "moonmind_appliance", "tui"}:
        return _defect(invocation, error)
    show_error(
        invocation,
        f"This command is for the appliance's own machine, and its package {package} is not installed here. "
        "Install the appliance with install.sh, or this package with its extra: moonmind-appliance[server].",
    )
    return Exit.FAILED


def _defect(invocation: Invocation, error: Exception) -> Exit:
    """Report an unexpected error in one line; the trace is shown only with --debug."""
    description = _redacted(f"{type(error).__name__}: {error}").strip()
    if invocation.debug:
        _show_trace(invocation)
        what_to_do = "This is a bug: please report it with the traceback above."
    else:
        what_to_do = "This is a bug: run the command again with --debug and report it with the traceback."
    show_error(invocation, f"unexpected {description}. {what_to_do}")
    return Exit.FAILED


def _redacted(text: str) -> str:
    from moonmind_appliance.redaction import Redactor  # noqa: PLC0415 - only an unexpected error needs its patterns

    return Redactor().redact_text(text)


def _show_trace(invocation: Invocation) -> None:
    invocation.err.print(clean(_redacted(traceback.format_exc())), soft_wrap=True, style="dim")


__all__ = ["COMMANDS", "Program", "console", "main", "show_error"]
