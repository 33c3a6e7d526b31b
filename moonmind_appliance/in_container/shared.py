"""What the programs share: output, exit codes, and work on files that an agent may have replaced."""

import contextlib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

_MOST_ARGUMENTS = 1000


def answer(value: object) -> None:
    """Print a program's result as one line of JSON."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def exit_code(returncode: int) -> int:
    """A child's exit code as a shell reports it: 128 and the signal's number if a signal ended it."""
    return returncode if returncode >= 0 else 128 - returncode


def open_regular(path: Path) -> BinaryIO | None:
    """Open a regular file for reading; None for anything else, including links."""
    try:
        # Without O_NONBLOCK a planted FIFO would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, limit: int) -> bytes | None:
    """The bytes of a regular file of at most `limit` bytes; None for anything else."""
    file = open_regular(path)
    if file is None:
        return None
    with file:
        content = file.read(limit + 1)
    return content if len(content) <= limit else None


def remove_entries(folder: Path, entries: Sequence[Path], *, time_limit: float | None = None) -> None:
    """Remove these entries of a folder, or the folder itself, as far as possible. Follows no link below the folder.

    `folder` must be no link. Gives up after `time_limit` seconds.
    """
    # A folder without permissions for its owner cannot be emptied.
    commands = [["chmod", "-R", "u+rwX", "--", str(folder)]]
    # Not in Python: a tree of thousands of levels exceeds its recursion limit.
    starts = range(0, len(entries), _MOST_ARGUMENTS)
    commands += [["rm", "-rf", "--", *map(str, entries[start : start + _MOST_ARGUMENTS])] for start in starts]
    nothing, began = subprocess.DEVNULL, time.monotonic()
    for command in commands:
        left = None if time_limit is None else began + time_limit - time.monotonic()
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(  # noqa: S603 - coreutils, by fixed name
                command, stdin=nothing, stdout=nothing, stderr=nothing, timeout=left, check=False
            )
