"""A real pseudo-terminal with a program in it: what it wrote, when, and how that looks on the screen."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pyte

from moonmind_appliance.errors import ApplianceError

TUI = [sys.executable, "-c", "from moonmind_appliance.cli import main; main()", "tui"]
SIZE = (120, 40)

_KEPT = ("PATH", "HOME", "PYTHONPATH", "DOCKER_HOST")
_TICKS = os.sysconf("SC_CLK_TCK")
# Questions to the terminal (`CSI > …`, `CSI ? … u`, `CSI = …`) that pyte would show as text.
_PRIVATE = re.compile(rb"\x1b\[[<>=?][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*\$[a-z]|\x1bP.*?\x1b\\", re.DOTALL)


class Shown(NamedTuple):
    """From a key to what it should show: milliseconds, and the bytes that the program wrote."""

    milliseconds: float
    bytes: int


class Piece(NamedTuple):
    """What one read returned, and when it came (`time.perf_counter`)."""

    at: float
    data: bytes


def environment(data_dir: Path) -> dict[str, str]:
    """Of a person's terminal, with nothing of this machine's own settings."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    return kept | {
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "XDG_STATE_HOME": str(data_dir.parent / "state"),
        "MOONMIND_ENV_FILE": str(data_dir.parent / "appliance.env"),
        "MOONMIND_DATA_DIR": str(data_dir),
    }


class Terminal:
    """One program in a terminal of 120 columns and 40 lines; close it after use.

    A thread reads all the time, so that the program never waits for the terminal. The screen is drawn only when it
    is asked for: drawing does not count as the program's time.
    """

    def __init__(self, data_dir: Path, command: list[str] | None = None, **more: str) -> None:
        columns, lines = SIZE
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._pieces: list[Piece] = []
        self._drawn = 0
        self._rest = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        (data_dir.parent / "appliance.env").touch()
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            command or TUI,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(data_dir) | more,
            start_new_session=True,
        )
        os.close(slave)
        self._closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self) -> None:
        """End the program. Safe twice."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if not self._closed:
            self._closed = True
            self._reader.join(5)
            os.close(self._master)

    def _read(self) -> None:
        try:
            while data := os.read(self._master, 1 << 16):
                self._pieces.append(Piece(time.perf_counter(), data))
        except OSError:
            pass  # the program has ended

    # What came.

    @property
    def bytes_written(self) -> int:
        """So far."""
        return sum(len(piece.data) for piece in self._pieces)

    def raw(self) -> bytes:
        """Everything that the program wrote so far."""
        return b"".join(piece.data for piece in self._pieces)

    def lines(self) -> list[str]:
        """The screen as it is now."""
        while self._drawn < len(self._pieces):
            self._draw()
        return list(self._screen.display)

    def _draw(self) -> Piece:
        piece = self._pieces[self._drawn]
        self._drawn += 1
        data = self._rest + piece.data
        # What a read cut in the middle is drawn with the next one.
        cut = data.rfind(b"\x1b")
        cut = (
            cut
            if cut >= 0 and len(data) - cut < 32 and not re.match(rb"\x1b\[[^a-zA-Z]*[a-zA-Z]", data[cut:])
            else None
        )
        data, self._rest = (data, b"") if cut is None else (data[:cut], data[cut:])
        self._stream.feed(_PRIVATE.sub(_known, data))
        return piece

    # Keys.

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def wait(self, seen, *, seconds: float = 60) -> float:
        """Until the screen is so; returns when that came (`time.perf_counter`).

        Args:
            seen: gets the lines of the screen.
            seconds: give up after these, and show the screen.
        """
        limit = time.perf_counter() + seconds
        if seen(list(self._screen.display)):
            return time.perf_counter()
        while time.perf_counter() < limit:
            self._until_quiet(min(limit, time.perf_counter() + 1))
            while self._drawn < len(self._pieces):
                piece = self._draw()
                if seen(list(self._screen.display)):
                    return piece.at
            if self.process.poll() is not None:
                break
        picture = "\n".join(line.rstrip() for line in self.lines())
        raise ApplianceError(f"The screen does not show what it should, after {seconds:.0f} s:\n{picture}")

    def shows(self, text: str, *, seconds: float = 60) -> float:
        """`wait` until a text is anywhere on the screen."""
        return self.wait(lambda lines: any(text in line for line in lines), seconds=seconds)

    def measured(self, keys: str, seen) -> Shown:
        """Press keys on a screen that is at rest, and wait until it is as it should be and at rest again."""
        self.rest()
        if seen(self.lines()):
            raise ApplianceError(f"The screen shows what {keys!r} should show before it is pressed.")
        before, pressed = self.bytes_written, time.perf_counter()
        self.press(keys)
        at = self.wait(seen)
        self.rest()
        return Shown((at - pressed) * 1000, self.bytes_written - before)

    def rest(self, seconds: float = 0.6) -> None:
        """Until nothing has come for so long."""
        self._until_quiet(time.perf_counter() + 60, quiet=seconds)
        self.lines()

    def _until_quiet(self, limit: float, quiet: float = 0.1) -> None:
        begun = time.perf_counter()
        while (now := time.perf_counter()) < limit:
            last = self._pieces[-1].at if self._pieces else begun
            if now - max(last, begun) >= quiet:
                return
            time.sleep(0.01)

    # The process.

    @property
    def memory_mib(self) -> float:
        """Resident now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    @property
    def cpu_seconds(self) -> float:
        """Used so far, in user and system mode."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def _known(match: re.Match[bytes]) -> bytes:
    # Modes that pyte knows: the alternate screen, the cursor.
    return match[0] if re.fullmatch(rb"\x1b\[\?(25|1049|7)[hl]", match[0]) else b""
