"""What all commands have in common: options, examples in their help, groups that load a command when it is called."""

import difflib
import logging
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import click

from moonmind_appliance.cli.configuration import ENV_FILE_VARIABLE
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.system_user import system_author
from moonmind_appliance.models import Interface, current_author, set_author
from moonmind_appliance.settings import DEFAULT_ENV_FILE

PROGRAM = "moonmind-appliance"


class Example(NamedTuple):
    """A working command line, and its purpose."""

    purpose: str
    command: str


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:  # noqa: ANN401 - click's callbacks
    """Put a common option's value into the invocation."""
    if value and parameter.name is not None:
        setattr(context.ensure_object(Invocation), parameter.name, value)


def _common_options(*, json: bool) -> list[click.Parameter]:
    given = [
        click.Option(
            ["--env-file", "env_file"],
            type=click.Path(path_type=Path),
            metavar="PATH",
            help=f"Settings file with NAME=value lines.  [default: ${ENV_FILE_VARIABLE}, else {DEFAULT_ENV_FILE}]",
        ),
        click.Option(["-v", "--verbose"], is_flag=True, help="Print more details."),
        click.Option(["--debug"], is_flag=True, help="Print the log and, for an unexpected error, the traceback."),
    ]
    if json:
        given.insert(1, click.Option(["--json", "as_json"], is_flag=True, help="Print JSON to stdout, for programs."))
    for option in given:
        option.expose_value = False
        option.callback = _keep
    return list(given)


class Command(click.Command):
    """A command with the common options, and examples under its help.

    Changes that it makes are recorded as those of this user, through that interface. None: they have no author.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - passed on to click
        examples: Sequence[tuple[str, str]] = (),
        json: bool = True,
        interface: Interface | None = Interface.COMMAND,
        **options: Any,  # noqa: ANN401 - passed on to click
    ) -> None:
        super().__init__(*arguments, **options)
        self.interface = interface
        self.examples = [Example(*example) for example in examples]
        self.params += _common_options(json=json)
        self._json = json

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - the command's return value
        """Run it; with --debug the log goes to stderr, otherwise there is no log."""
        invocation = ctx.ensure_object(Invocation)
        if invocation.as_json and not self._json:
            # Given before the command's name, where --json is known.
            raise click.UsageError("No such option '--json'.", ctx)
        if invocation.debug:
            # The redactor's patterns take a tenth of a short command's time, and only --debug writes a log here.
            from moonmind_appliance.cli.logs import start_log  # noqa: PLC0415 - see above
            from moonmind_appliance.redaction import Redactor  # noqa: PLC0415

            start_log("text", Redactor(), debug=True)
        else:
            # No log: commands print their own messages.
            logging.getLogger().handlers = [logging.NullHandler()]
        before = current_author()
        set_author(None if self.interface is None else system_author(self.interface))
        try:
            return super().invoke(ctx)
        finally:
            set_author(before)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        del ctx
        write_examples(formatter, self.examples)


def _help_without_command() -> None:
    """Print the help of a group that was called without a command."""
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), color=context.color)


class Lazy(NamedTuple):
    """A command as `module:attribute`, and its one-line help, so that the group's help imports no command."""

    where: str
    summary: str


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called: no command waits for another's libraries.

    It takes the common options, too. Without a command it prints its help.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - passed on to click
        lazy: dict[str, Lazy],
        examples: Sequence[tuple[str, str]] = (),
        **options: Any,  # noqa: ANN401 - passed on to click
    ) -> None:
        super().__init__(*arguments, **options | {"invoke_without_command": True, "callback": _help_without_command})
        self.lazy = lazy
        self.examples = [Example(*example) for example in examples]
        self.params += _common_options(json=True)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of declaration, not of the alphabet."""
        del ctx
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        del ctx
        if cmd_name not in self.lazy:
            return None
        module, attribute = self.lazy[cmd_name].where.split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, and suggests a similar command."""
        if args and args[0] not in self.lazy and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], self.lazy, 1)
            meant = f" Did you mean {close[0]}?" if close else ""
            raise click.UsageError(f"Unknown command {args[0]!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and their summaries."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in self.lazy.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        del ctx
        write_examples(formatter, self.examples)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[Example]) -> None:
    """Each example: its purpose, and below it the command, never wrapped."""
    if not examples:
        return
    with formatter.section("Examples"):
        for number, example in enumerate(examples):
            if number:
                formatter.write("\n")
            formatter.write_text(f"{example.purpose}:")
            formatter.write(
                "".join(f"{'':>{formatter.current_indent + 2}}{part}\n" for part in example.command.split("\n"))
            )


def run_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """The argument that names a run."""
    return click.argument("run", metavar="RUN")(function)
