"""The door to huey: one queue and one named worker thread a shard, and a clock.

A message is a doorbell: it may be lost, come twice or come late, and `<data>/huey.db` may be deleted at any time. The
run's row is the truth, so ringing never raises.

Order of calls: `every`, `start`, `stop`; ringing at any time, from any thread. Facts about huey are of version 3.5.4.
"""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from huey import Huey
from huey.api import TaskWrapper
from huey.consumer import Consumer, Scheduler, Worker
from huey.storage import SqliteStorage

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import ShardName

# A ring of another process goes unnoticed for at most this and a query.
_LOOK_EVERY = 0.05
_CHECK_THREADS_EVERY = 0.5
# How often a worker looks by itself, should the lookout fail.
_LOOK_ANYWAY_EVERY = 5.0
_AFTER_AN_ERROR = 1.0

# SQLITE_CORRUPT and SQLITE_NOTADB, https://www.sqlite.org/rescode.html.
_DAMAGED = frozenset({11, 26})

_CLOCK = "clock"

_log = logging.getLogger(__name__)


class Doorbell:
    """Rings the shards' workers, from any process. A queue is opened at its first ring."""

    def __init__(self, data_dir: Path, shards: Sequence[ShardName]) -> None:
        self._path = data_dir / "huey.db"
        self._bells = {shard.index: _Bell() for shard in shards}
        self._names = {shard.index: shard for shard in shards}
        self._lines: dict[int, _Line] = {}
        self._opening = threading.Lock()

    def ring(self, shard: int, run_id: str) -> None:
        """Wake the shard's worker for a run. Never raises: a failure is logged, the run's row is safe."""
        self._send(shard, run_id)

    def ring_at(self, shard: int, run_id: str, at: datetime) -> None:
        """Ring within about a second after `at` (with a time zone), by huey's schedule. Never raises."""
        self._send(shard, run_id, at)

    def close(self) -> None:
        """Close the queues' file. Safe twice; the next ring opens it again."""
        with self._opening:
            for line in self._lines.values():
                line.huey.storage.close()

    def _send(self, shard: int, run_id: str, at: datetime | None = None) -> bool:
        if shard not in self._bells:
            _log.warning("Run %s: there is no shard %d to ring.", run_id, shard)
            return True
        try:
            line = self._line(shard)
            line.huey.storage.renew()
            if at is None:
                line.huey.enqueue(line.message.s(run_id))
            else:
                # Straight into the schedule: through the queue it would wait behind the run in hand.
                line.huey.add_schedule(line.message.s(run_id, eta=at))
        except Exception as error:  # noqa: BLE001 - a doorbell that fails must not fail its caller
            _log.warning("Run %s: the ring for shard %d was not kept (%s).", run_id, shard, error)
            return False
        return True

    def _line(self, shard: int) -> "_Line":
        with self._opening:
            if shard not in self._lines:
                self._lines[shard] = self._connect(shard)
            return self._lines[shard]

    def _connect(self, shard: int) -> "_Line":
        huey = _huey(self._names[shard].queue, self._path, self._bells[shard])

        def execute(run_id: str) -> None:
            self._execute(shard, run_id)

        return _Line(huey, huey.task(name="ring")(execute))

    def _execute(self, shard: int, run_id: str) -> None:
        """What a message does where it is taken; only workers take any."""


class Workers(Doorbell):
    """The shards' worker threads, in the one process that serves.

    Args:
        data_dir: the data folder.
        shards: one thread each, of that name.
        work: called as `work(shard, run_id)` in that shard's thread. What it raises is logged, and the thread goes on.
    """

    def __init__(self, data_dir: Path, shards: Sequence[ShardName], *, work: Callable[[int, str], None]) -> None:
        super().__init__(data_dir, shards)
        self._work = work
        self._jobs: list[_Job] = []
        self._consumers: dict[str, _Consumer] = {}
        self._checked = False
        self._stopping = threading.Event()
        self._lookout = threading.Thread(target=self._look_out, name="lookout", daemon=True)
        # huey tells of every message at INFO.
        logging.getLogger("huey").setLevel(logging.WARNING)

    def every(self, name: str, seconds: int, job: Callable[[], None]) -> None:
        """Do a job in the thread `clock` soon after `start` and then every so many seconds, never twice at once."""
        self._jobs.append(_Job(name, seconds, job))

    def start(self) -> None:
        """Start the threads; once.

        Raises:
            StoreError: the queues' file cannot be made.
        """
        try:
            for shard, name in self._names.items():
                self._consumers[name.thread] = _Consumer(self._line(shard).huey, name.thread)
            if self._jobs:
                self._consumers[_CLOCK] = _Consumer(self._clock(), _CLOCK)
        except Exception as error:
            raise StoreError(
                f"The queues' file {self._path} cannot be used: {error}.",
                hint="Check the disk's room and that this user owns the data folder; the file itself may be deleted.",
            ) from error
        for consumer in self._consumers.values():
            consumer.start()
        self._lookout.start()

    def stop(self, grace: float) -> bool:
        """Take no new message, and wait up to `grace` seconds for the work in hand. Safe twice.

        Returns:
            True if all threads have ended. Those that have not die with the process.
        """
        deadline = time.monotonic() + grace
        self._stopping.set()
        threads = [self._lookout]
        for consumer in self._consumers.values():
            consumer.stop()
            consumer.huey.storage.bell.rung.set()
            threads += consumer.threads()
        for thread in threads:
            if thread.ident:
                thread.join(max(0.0, deadline - time.monotonic()))
        ended = not any(thread.is_alive() for thread in threads)
        if ended:
            for consumer in self._consumers.values():
                consumer.huey.storage.close()
        return ended

    def alive(self) -> dict[str, bool]:
        """Each thread's name and whether it lives. One that died is started again within about a second."""
        return {
            thread.name: thread.is_alive() for consumer in self._consumers.values() for thread in consumer.threads()
        }

    def idle(self) -> list[int]:
        """The shards whose thread lives, has no work in hand and was not rung for any."""
        alive = self.alive()
        return [shard for shard, bell in self._bells.items() if alive.get(self._names[shard].thread) and bell.silent]

    def ring(self, shard: int, run_id: str) -> None:
        """Wake the shard's worker at once, also when the file does not take the message. Never raises."""
        if not self._send(shard, run_id):
            bell = self._bells[shard]
            bell.unsaved.append(run_id)
            bell.rung.set()

    def _connect(self, shard: int) -> "_Line":
        if not self._checked:
            _mend(self._path)
            self._checked = True
        line = super()._connect(shard)
        line.huey.storage.execute = line.message.call_local
        return line

    def _execute(self, shard: int, run_id: str) -> None:
        self._work(shard, run_id)

    def _clock(self) -> Huey:
        huey = _huey(_CLOCK, self._path, _Bell())
        # What an earlier process did not get to; every job's first time is now.
        huey.storage.flush_queue()
        for job in self._jobs:
            huey.periodic_task(job.is_due, name=f"every-{job.name}")(job.run)
        return huey

    def _look_out(self) -> None:
        """Hear the rings of other processes, and start dead threads again: `start()` without `run()` does not."""
        bells = {self._names[shard].queue: bell for shard, bell in self._bells.items()}
        lookout: _Lookout | None = None
        check_at = 0.0
        pause = _LOOK_EVERY
        while not self._stopping.wait(pause):
            pause = _LOOK_EVERY
            try:
                lookout = lookout or _Lookout(self._path)
                for name in lookout.waiting() & bells.keys():
                    bells[name].rung.set()
                if time.monotonic() >= check_at:
                    check_at = time.monotonic() + _CHECK_THREADS_EVERY
                    for consumer in self._consumers.values():
                        consumer.check_worker_health()
            except Exception as error:  # noqa: BLE001 - it looks again, and the workers look by themselves
                _log.exception("The queues' file %s cannot be looked at.", self._path)
                if lookout:
                    _mend_under_way(lookout.queue, error)
                pause = _AFTER_AN_ERROR
        if lookout:
            lookout.queue.close()


class _Bell:
    """What a worker thread hears. `unsaved` are rings that the file did not take."""

    def __init__(self) -> None:
        self.rung = threading.Event()
        self.unsaved: deque[str] = deque()
        self.working = False

    @property
    def silent(self) -> bool:
        return not (self.working or self.rung.is_set() or self.unsaved)


class _Line(NamedTuple):
    """A shard's huey, and the one kind of message that it carries."""

    huey: Huey
    message: TaskWrapper


class _Queue(SqliteStorage):  # type: ignore[misc] # huey has no types
    """One queue in the file that all share; an entry made in this process rings the bell.

    Commits are not synced: a message that a power cut takes is one that `recover` rings again.
    """

    def __init__(self, name: str, path: Path, bell: _Bell) -> None:
        self.bell = bell
        self.execute: Callable[[str], None] | None = None
        self._path = path
        self._file: tuple[int, int] | None = None
        super().__init__(name, filename=str(path), cache_mb=1)

    def initialize_schema(self) -> None:
        if not self._path.exists():
            # A deleted file's companions may still be mapped by open connections: a new file must not take them over.
            _remove_companions(self._path)
        # Not by opening: closing a file again would drop the locks that other connections of this process have on it.
        with contextlib.suppress(FileExistsError):
            os.mknod(self._path, 0o600)
        super().initialize_schema()

    def _create_connection(self) -> Any:  # noqa: ANN401 - SQLite's connection, which only the store may name
        self._file = _identity(self._path)
        connection = super()._create_connection()
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def renew(self) -> bool:
        """Begin the file anew when it was deleted or replaced under the open connection; whether it was."""
        if self._file == _identity(self._path):
            return False
        with _beginning_anew:
            self.close()
            self.initialize_schema()
        return True

    def set_aside(self, error: Exception) -> None:
        """Begin the file anew because it is damaged, unless another thread has done so."""
        with _beginning_anew:
            if self._file == _identity(self._path):
                _set_aside(self._path, error)
        self.renew()

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        super().enqueue(data, priority)
        self.bell.rung.set()

    def add_to_schedule(self, data: bytes, ts: datetime) -> None:
        # huey's times are naive UTC, and it takes their timestamp as if they were local: around a change of the
        # clocks that is an hour off.
        super().add_to_schedule(data, ts.replace(tzinfo=UTC))

    def read_schedule(self, ts: datetime) -> Any:  # noqa: ANN401 - huey's messages
        at = ts.replace(tzinfo=UTC)
        # Once a second and queue: looking needs no exclusive transaction, only taking does.
        due = self.sql(
            "SELECT 1 FROM schedule WHERE queue = ? AND timestamp <= ? LIMIT 1",
            (self.name, at.timestamp()),
            results=True,
        )
        return super().read_schedule(at) if due else []


class _Lookout:
    """A look at the file that costs little while nobody writes to it."""

    def __init__(self, path: Path) -> None:
        self.queue = _Queue("lookout", path, _Bell())
        self._version: int | None = None

    def waiting(self) -> set[str]:
        """The queues that have messages, if anybody wrote to the file since the last look."""
        if self.queue.renew():
            self._version = None
        # Changes when another connection, of any process, commits: https://www.sqlite.org/pragma.html#pragma_data_version
        version = self.queue.sql("PRAGMA data_version", results=True)[0][0]
        if version == self._version:
            return set()
        self._version = version
        return {name for (name,) in self.queue.sql("SELECT DISTINCT queue FROM task", results=True)}


class _Worker(Worker):  # type: ignore[misc] # huey has no types
    """Sleeps on the bell instead of huey's growing delays."""

    def initialize(self) -> None:
        self.huey.storage.bell.working = False
        super().initialize()

    def loop(self, now: datetime | None = None) -> None:
        bell: _Bell = self.huey.storage.bell
        bell.working = bell.rung.wait(_LOOK_ANYWAY_EVERY)
        # Cleared before looking: what is rung from here on makes another turn.
        bell.rung.clear()
        try:
            while not self.stop_flag.is_set() and (self._take_unsaved(bell) or self._take(bell, now)):
                pass
        except Exception as error:  # noqa: BLE001 - the thread lives on, whatever the file says
            _log.exception("Queue %s cannot be read.", self.huey.name)
            _mend_under_way(self.huey.storage, error)
            self.stop_flag.wait(_AFTER_AN_ERROR)
        finally:
            bell.working = False

    def _take(self, bell: _Bell, now: datetime | None) -> bool:
        queue: _Queue = self.huey.storage
        queue.renew()
        # While the queue is empty this is one SELECT without a lock.
        task = self.huey.dequeue()
        if task is None:
            return False
        bell.working = True
        self.huey.execute(task, now)
        return True

    def _take_unsaved(self, bell: _Bell) -> bool:
        if not bell.unsaved:
            return False
        bell.working = True
        run_id = bell.unsaved.popleft()
        try:
            self.huey.storage.execute(run_id)
        except Exception:  # noqa: BLE001 - the thread lives on, as after a message from the file
            _log.exception("The work on run %s failed.", run_id)
        return True


class _Scheduler(Scheduler):  # type: ignore[misc] # huey has no types
    """Looks at periodic tasks every second: huey's minute is too coarse for health checks."""

    periodic_task_seconds = 1


class _Consumer(Consumer):  # type: ignore[misc] # huey has no types
    """A worker thread of a given name, and its scheduler, inside a process that belongs to somebody else."""

    worker_class = _Worker
    scheduler_class = _Scheduler

    def __init__(self, huey: Huey, thread: str) -> None:
        self._thread = thread
        super().__init__(huey, workers=1, periodic=thread == _CLOCK, scheduler_interval=1)

    def threads(self) -> list[threading.Thread]:
        return [*(thread for _, thread in self.worker_threads), self.scheduler]

    def _create_process(self, process: Any, name: str) -> Any:  # noqa: ANN401 - huey's loops and threads
        return super()._create_process(process, f"{self._thread}-schedule" if name == "Scheduler" else self._thread)

    def _set_signal_handlers(self) -> None:
        """The signals are the web server's."""


class _Job:
    """A job and when it is due. A message of it that comes while it runs, or right after, is dropped."""

    def __init__(self, name: str, seconds: int, job: Callable[[], None]) -> None:
        self.name = name
        self._seconds = seconds
        self._job = job
        self._next = 0.0
        self._ended: float | None = None

    def is_due(self, _: datetime) -> bool:
        now = time.monotonic()
        # Asked once a second: a time that comes a moment after the question would cost a whole one.
        if now < self._next - 0.5:
            return False
        self._next = now + self._seconds
        return True

    def run(self) -> None:
        if self._ended is not None and time.monotonic() - self._ended < self._seconds / 2:
            return
        try:
            self._job()
        finally:
            self._ended = time.monotonic()


# One thread at a time: what one has just made, another must not take for the old.
_beginning_anew = threading.Lock()


def _huey(name: str, path: Path, bell: _Bell) -> Huey:
    def open_queue(name: str) -> _Queue:
        return _Queue(name, path, bell)

    return Huey(name, storage_class=open_queue, results=False)


def _mend(path: Path) -> None:
    """Set a damaged file aside before it is used."""
    try:
        queue = _Queue(_CLOCK, path, _Bell())
        try:
            found = queue.sql("PRAGMA quick_check(1)", results=True)[0][0]
        finally:
            queue.close()
    except Exception as error:
        if not _is_damaged(error):
            raise
        _set_aside(path, error)
    else:
        if found != "ok":
            _set_aside(path, found)


def _mend_under_way(queue: _Queue, error: Exception) -> None:
    """Begin the file anew if that is what the error asks for."""
    if not _is_damaged(error):
        return
    try:
        queue.set_aside(error)
    except Exception:  # noqa: BLE001 - it is tried again at the next look
        _log.exception("Queue %s cannot be begun anew.", queue.name)


def _set_aside(path: Path, why: object) -> None:
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    _remove_companions(path)
    path.replace(aside)
    _log.warning("The queues' file %s is damaged (%s). It was set aside as %s and is made anew.", path, why, aside)


def _remove_companions(path: Path) -> None:
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _is_damaged(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
