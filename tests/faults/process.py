"""What the kernel reports about a process: memory, threads, open files."""

from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """Resident memory in MiB, the number of threads, and of open files."""

    rss_mib: float
    threads: int
    open_files: int


def usage_of(pid: int) -> Usage:
    """The usage of a running process, from /proc (proc(5))."""
    status = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        if ":" in line
    )
    return Usage(
        round(int(status["VmRSS"].split()[0]) / 1024, 1),
        int(status["Threads"]),
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
    )
