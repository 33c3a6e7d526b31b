"""Recorded work of the shards, a full disk, and wake-ups from another process."""

import queue
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from moonmind_appliance.models import ShardNames

SHARDS = [ShardNames(index, "codex_auth_") for index in range(3)]


PATIENCE = 20.0


_WAKE = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from moonmind_appliance.dispatch import Wakeups
from moonmind_appliance.models import ShardNames

wakeups = Wakeups(Path(sys.argv[1]), [ShardNames(i, "codex_auth_") for i in range(3)])
if len(sys.argv) > 3:
    wakeups.wake_at(int(sys.argv[2]), datetime.now(UTC) + timedelta(seconds=float(sys.argv[3])))
else:
    wakeups.wake(int(sys.argv[2]))
"""


class Work:
    """Records the calls of each shard and their thread; `actions` are run once each, in the shard's thread."""

    def __init__(self) -> None:
        self.calls: queue.Queue[tuple[int, str]] = queue.Queue()
        self.actions: dict[int, Callable[[], object]] = {}

    def __call__(self, shard: int) -> None:
        self.calls.put((shard, threading.current_thread().name))
        self.actions.pop(shard, lambda: None)()

    def next(self) -> tuple[int, str]:
        return self.calls.get(timeout=PATIENCE)


@contextmanager
def no_file_grows() -> Iterator[None]:
    """The kernel lets no file of this process grow, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


def wake_in_another_process(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-c", _WAKE, str(folder), *arguments], check=True)
