"""Runs inside a container that has the shard's lock: measures what agents left beside the login, and removes it.

The output is one JSON line: `bytes` and `files`. A login file is never counted and never removed.
"""

from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.login_volume import clean, leftovers
from moonmind_appliance.in_container.shared import answer
from moonmind_appliance.in_container.workspace_size import BLOCK, measure

MOST_BYTES = 1 << 40
MOST_FILES = 1_000_000


def main(job: dict[str, Any]) -> int:
    """Measure what `folder` contains beside logins; remove it if `remove`."""
    folder = Path(job["folder"])
    left = leftovers(folder)
    used = measure([str(folder)], MOST_BYTES, MOST_FILES)
    kept = [path.lstat() for path in folder.iterdir() if path not in left]
    size = used["bytes"] - sum(found.st_blocks * BLOCK for found in kept)
    if job["remove"] and left:
        clean(folder)
    answer({"bytes": max(0, size), "files": used["files"] - len(kept)})
    return 0
