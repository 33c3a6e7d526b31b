"""Runs inside a job container: measures the disk use of folders.

The output is one JSON line: `bytes` and `files` that are used, `hidden` folders that could not be read, and
`free_bytes` and `free_files` of the file system. Counting ends soon after a limit is passed. A folder that is not
readable is made readable first.
"""

import contextlib
import os
import stat
import threading
from typing import Any

from moonmind_appliance.in_container.shared import answer

# The kernel accepts no longer path; deeper folders were created to hide their contents.
LONGEST_PATH = 4000
BLOCK = 512
TRIES = 3


def measure(folders: list[str], most_bytes: int, most_files: int) -> dict[str, int]:
    """The total disk use of all files below these folders; a file with several hard links counts once."""
    used = files = hidden = 0
    seen: set[tuple[int, int]] = set()
    to_do = list(folders)
    while to_do and used <= most_bytes and files <= most_files and not hidden:
        names = entries_of(to_do.pop())
        if names is None:
            hidden += 1
            continue
        for path in names:
            try:
                found = os.lstat(path)
            except OSError:
                continue
            if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                if (found.st_dev, found.st_ino) in seen:
                    continue
                seen.add((found.st_dev, found.st_ino))
            used += found.st_blocks * BLOCK
            files += 1
            if stat.S_ISDIR(found.st_mode):
                to_do.append(path)
            if files > most_files:
                break
    system = os.statvfs(folders[0])
    return {
        "bytes": used,
        "files": files,
        "hidden": hidden,
        "free_bytes": system.f_bavail * system.f_frsize,
        # Some file systems create inodes on demand, and report none.
        "free_files": system.f_favail if system.f_files else 1 << 40,
    }


def entries_of(folder: str) -> list[str] | None:
    """The paths in a folder; an empty list if it no longer exists, None if it cannot be read."""
    if len(folder) > LONGEST_PATH:
        return None
    for _ in range(TRIES):
        try:
            with os.scandir(folder) as entries:
                return [entry.path for entry in entries]
        except PermissionError:
            try:
                os.chmod(folder, 0o700, follow_symlinks=True)  # noqa: PTH101 - quick, and without pathlib's import
            except OSError:
                continue
        except OSError:
            return []
    return None


class Measurement:
    """`measure` in a thread of its own, while other work goes on."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._found: dict[str, int] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> dict[str, int]:
        """Wait for the end; what `measure` returns.

        Raises:
            OSError: a folder does not exist.
        """
        self._thread.join()
        return measure(**self._job) if self._found is None else self._found

    def _run(self) -> None:
        # An error is raised again by `result`.
        with contextlib.suppress(OSError):
            self._found = measure(**self._job)


def main(job: dict[str, Any]) -> int:
    """Measure `folders` and print the result; count up to `most_bytes` and `most_files`."""
    answer(measure(**job))
    return 0
