"""Calls the program like a shell, in this process or in a separate one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from moonmind_appliance.cli import main
from moonmind_appliance.settings import options

ROOT = Path(__file__).parents[2]
OWN = {"MOONMIND_ENV_FILE", "MOONMIND_SERVER", "MOONMIND_API_TOKEN", "FORCE_COLOR", "NO_COLOR", "SUDO_USER"}


@dataclass
class Called:
    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.stdout.splitlines()]


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Terminal:
    """A user's shell with its own variables, without this machine's settings."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        return self.home / "data"

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        env_file = self.home / "appliance.env"
        env_file.touch()
        return {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "MOONMIND_ENV_FILE": str(env_file),
            "MOONMIND_DATA_DIR": str(self.data_dir),
            "MIN_FREE_DISK": "1k",
            **self.variables,
            **(more or {}),
        }

    def command(self, *words: str) -> list[str]:
        """The arguments of a process that runs the program."""
        return [sys.executable, "-W", "error", "-m", "moonmind_appliance.cli", *words]

    def whole_environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of such a process."""
        keep = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "LD_LIBRARY_PATH"}}
        return {**keep, "PYTHONPATH": str(ROOT), **self.environment(more)}

    def call(self, *words: str, stdin: str | bytes | None = None, **variables: str) -> Called:
        """Call the program in this process."""
        known = {name: None for option in options() for name in (option, f"{option}_FILE")}
        gone: dict[str, str | None] = {**known, **dict.fromkeys(OWN)}
        result = CliRunner().invoke(main, list(words), input=stdin, env={**gone, **self.environment(variables)})
        return Called(result.exit_code, result.stdout, result.stderr)

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start the program in a process of its own."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.home,
            env=self.whole_environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell that starts the tests in the background sets SIGINT to ignored, and a child inherits that.
            preexec_fn=_hear_ctrl_c,  # noqa: PLW1509 - sets one signal, takes no lock
        )

    def run(self, *words: str, **variables: str) -> Called:
        """Run the program in a process of its own until its end."""
        process = self.start(*words, **variables)
        stdout, stderr = process.communicate(timeout=100)
        return Called(process.returncode, stdout, stderr)
