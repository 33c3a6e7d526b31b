"""One call of the command: its common options, its settings, and its outputs."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console, RenderableType

from moonmind_appliance.cli.configuration import Configuration, configure
from moonmind_appliance.cli.terminal import clean, console
from moonmind_appliance.settings import Settings


@dataclass
class Invocation:
    """The context of every command. Results go to `out`, all else to `err`; with `as_json`, `out` is pure JSON."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    env_file: Path | None = None
    as_json: bool = False
    verbose: bool = False
    debug: bool = False

    @cached_property
    def out(self) -> Console:
        """The console for results."""
        return console()

    @cached_property
    def err(self) -> Console:
        """The console for progress, messages and errors."""
        return console(stderr=True)

    @property
    def progress(self) -> Console:
        """The console for progress: `out` for people, `err` if programs read `out`."""
        return self.err if self.as_json else self.out

    def configuration(self, *, demanded: bool = True) -> Configuration:
        """The settings of this call. Warnings about the env file are printed if it is `demanded`, or with -v.

        Raises:
            SettingsError: with every problem.
        """
        configuration = configure(self.environment, self.env_file, demanded=demanded)
        for warning in configuration.warnings if demanded or self.verbose else ():
            self.print_message(warning)
        if self.verbose:
            self.print_message(f"settings from {configuration.env_file or 'the environment only'}")
        return configuration

    def settings(self, *, demanded: bool = True) -> Settings:
        """`configuration().settings`."""
        return self.configuration(demanded=demanded).settings

    def print_result(self, data: Any, shown: RenderableType | None = None) -> None:  # noqa: ANN401 - anything fit for JSON
        """Print the command's result: `data` as JSON, or `shown` for people."""
        if self.as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2))
        elif shown is not None:
            self.print_part(shown)

    def print_part(self, shown: RenderableType) -> None:
        """Print part of a result for people; piped lines have no trailing spaces."""
        if self.out.is_terminal:
            self.out.print(shown)
            return
        with self.out.capture() as capture:
            self.out.print(shown)
        for line in capture.get().splitlines():
            click.echo(line.rstrip())

    def json_line(self, data: Any) -> None:  # noqa: ANN401 - anything fit for JSON
        """Print one object of several on a line of its own, without buffering."""
        click.echo(msgspec.json.encode(data))
        sys.stdout.flush()

    def print_message(self, text: str) -> None:
        """Print a message to stderr."""
        self.err.print(clean(text), style="dim", soft_wrap=True)

    def print_detail(self, text: str) -> None:
        """Print a message to stderr, only with -v."""
        if self.verbose:
            self.print_message(text)
