"""Runs the program on a real pseudo-terminal: sends keys, and reads the screen."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 90
# Modes that must be off again at the end: alternate screen, mouse, bracketed paste, focus reports.
MODES = (1049, 1000, 1002, 1003, 1004, 1006, 1015, 2004)
_MODE = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")


class PseudoTerminal:
    """A command on a terminal of `columns` x `lines`. Use it in a `with` block, which ends the process."""

    def __init__(
        self, command: list[str], environment: Mapping[str, str], *, columns: int = 80, lines: int = 24
    ) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.written = bytearray()
        self.status: int | None = None
        keep = {name: value for name, value in os.environ.items() if name in {"PATH", "LD_LIBRARY_PATH"}}
        given = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT), **keep, **environment}
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            try:
                os.execve(sys.executable, [sys.executable, "-m", *command], given)  # noqa: S606 - no shell is wanted
            finally:
                os._exit(127)
        fcntl.ioctl(self._file, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._file)

    @property
    def text(self) -> str:
        """The screen's text."""
        return "\n".join(self.screen.display)

    @property
    def modes(self) -> set[int]:
        """The enabled modes."""
        on: set[int] = set()
        for numbers, switch in _MODE.findall(bytes(self.written)):
            for number in map(int, numbers.split(b";")):
                (on.add if switch == b"h" else on.discard)(number)
        return on & set(MODES)

    def read(self, seconds: float) -> int:
        """Read output for this time; returns the number of bytes."""
        came, end = 0, time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._file], [], [], left)[0]:
                break
            try:
                data = os.read(self._file, 65536)
            except OSError:
                break
            came += len(data)
            self.written += data
            self._stream.feed(data)
        return came

    def wait(self, true: str | Callable[[str], bool]) -> None:
        """Wait until the screen contains the text, or satisfies the predicate."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not (true in self.text if isinstance(true, str) else true(self.text)):
            assert time.monotonic() < end, f"Not seen: {true}\n{self.text}"
            self.read(0.05)

    def type(self, keys: str) -> None:
        """Send keys in one burst."""
        os.write(self._file, keys.encode())

    def quiet(self, seconds: float) -> None:
        """Wait until there was no output for this time."""
        while self.read(seconds):
            pass

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def ended(self) -> int:
        """Wait for the end; returns the exit code."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self.status is None:
            assert time.monotonic() < end, "The process did not end."
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        self.read(0.1)
        return self.status


def opened(environment: Mapping[str, str], *options: str, **size: int) -> PseudoTerminal:
    """The terminal interface on a pseudo-terminal of its own."""
    return PseudoTerminal(["moonmind_appliance.cli", "tui", *options], environment, **size)
