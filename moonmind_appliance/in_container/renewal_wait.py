"""Runs in a container with a login broker before it is removed: waits until no renewal of the login is in progress.

A renewal invalidates the old tokens. If the container ended before the new ones are stored, the login would be lost.
"""

import os
import time
from pathlib import Path
from typing import Any

_BROKER = b"login_broker"
_PAUSE = 0.05


def is_renewing(home: Path, processes: Path = Path("/proc")) -> bool:
    """Whether a renewal has its own CODEX_HOME below `home` (`codex_home`), and the broker still runs."""
    return any(home.glob("codex-*")) and _broker_runs(processes)


def _broker_runs(processes: Path) -> bool:
    for process in processes.glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        # The program's name is an argument of its own (`command`).
        if _BROKER in arguments:
            return True
    return False


def main(job: dict[str, Any]) -> int:
    """Wait for at most `seconds`."""
    home, give_up = Path(os.environ["HOME"]), time.monotonic() + job["seconds"]
    while is_renewing(home) and time.monotonic() < give_up:
        time.sleep(_PAUSE)
    return 0
