"""Runs as a sign-in's container: ends after the sign-in's process has ended."""

import time
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.shared import read_regular

LOOK_SECONDS = 2.0
LONGEST = 100


def main(job: dict[str, Any]) -> int:
    """Wait until `file`, which that process rewrites regularly, has not changed for `seconds`."""
    last, since = None, time.monotonic()
    while time.monotonic() - since < job["seconds"]:
        time.sleep(LOOK_SECONDS)
        now = read_regular(Path(job["file"]), LONGEST)
        if now != last:
            last, since = now, time.monotonic()
    return 0
