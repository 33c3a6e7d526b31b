"""One call of the command: its common options, its settings, and where its words go."""

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
    """What every command is handed. Answers go to `out`, all else to `err`; with `as_json`, `out` holds JSON alone."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    env_file: Path | None = None
    as_json: bool = False
    verbose: bool = False
    debug: bool = False

    @cached_property
    def out(self) -> Console:
        """Answers for people."""
        return console()

    @cached_property
    def err(self) -> Console:
        """Progress, notes and errors."""
        return console(stderr=True)

    @property
    def progress(self) -> Console:
        """Where progress shows: beside the answer for people, apart from it for programs."""
        return self.err if self.as_json else self.out

    def configuration(self, *, demanded: bool = True) -> Configuration:
        """The settings of this call. Notes on the env file are said where it is `demanded`, or with -v.

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
        """The command's answer: `data` as JSON, or what people see of it."""
        if self.as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2))
        elif shown is not None:
            self.show(shown)

    def show(self, shown: RenderableType) -> None:
        """Part of an answer for people; piped lines end where their words end."""
        if self.out.is_terminal:
            self.out.print(shown)
            return
        with self.out.capture() as capture:
            self.out.print(shown)
        for line in capture.get().splitlines():
            click.echo(line.rstrip())

    def json_line(self, data: Any) -> None:  # noqa: ANN401 - anything fit for JSON
        """One object of several, on a line of its own, at once."""
        click.echo(msgspec.json.encode(data))
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Something worth knowing that is not the answer."""
        self.err.print(clean(text), style="dim", soft_wrap=True)

    def detail(self, text: str) -> None:
        """A note for whoever asked with -v."""
        if self.verbose:
            self.note(text)
