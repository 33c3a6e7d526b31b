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
    """What every command receives. Answers go to `out`, all else to `err`; with `as_json`, `out` contains JSON only."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    env_file: Path | None = None
    as_json: bool = False
    verbose: bool = False
    debug: bool = False

    @cached_property
    def out(self) -> Console:
        """The console for answers."""
        return console()

    @cached_property
    def err(self) -> Console:
        """The console for progress, notes and errors."""
        return console(stderr=True)

    @property
    def progress(self) -> Console:
        """The console for progress: `out` for people, `err` if programs read `out`."""
        return self.err if self.as_json else self.out

    def configuration(self, *, demanded: bool = True) -> Configuration:
        """The settings of this call. Notes on the env file are shown if it is `demanded`, or with -v.

        Raises:
            SettingsError: with every problem.
        """
        configuration = configure(self.environment, self.env_file, demanded=demanded)
        for note in configuration.notes if demanded or self.verbose else ():
            self.note(note)
        if self.verbose:
            self.note(f"settings from {configuration.env_file or 'the environment only'}")
        return configuration

    def settings(self, *, demanded: bool = True) -> Settings:
        """`configuration().settings`."""
        return self.configuration(demanded=demanded).settings

    def answer(self, data: Any, shown: RenderableType | None = None) -> None:  # noqa: ANN401 - anything fit for JSON
        """Print the command's answer: `data` as JSON, or `shown` for people."""
        if self.as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2))
        elif shown is not None:
            self.show(shown)

    def show(self, shown: RenderableType) -> None:
        """Print part of an answer for people; piped lines have no trailing spaces."""
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

    def note(self, text: str) -> None:
        """Print a note to stderr."""
        self.err.print(clean(text), style="dim", soft_wrap=True)

    def detail(self, text: str) -> None:
        """Print a note to stderr with -v only."""
        if self.verbose:
            self.note(text)
