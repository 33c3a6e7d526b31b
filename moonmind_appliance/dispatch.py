"""Wake-ups through huey: one queue and one named worker thread per shard, and a thread for periodic jobs.

A wake-up carries no data, and may be lost, repeated or late: the run's row decides, and a woken worker takes every
run that it can. So waking never raises, and each start of `serve` creates a new `<data>/huey.db`. That file carries the
wake-ups of other processes only; if it is damaged or removed while `serve` runs, it is created again.

Order of calls: `every`, `start`, `stop`. `wake` and `wake_at` may be called at any time, from any thread.
Facts about huey are of version 3.5.4.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from huey import Huey
from huey.consumer import Consumer, Worker
from huey.storage import SqliteStorage

from moonmind_appliance.errors import ApplianceError, StoreError
from moonmind_appliance.models import ShardNames

# Longest delay before a wake-up from another process is noticed, plus one query.
_READ_FILE_EVERY = 0.05
_CHECK_THREADS_EVERY = 0.5
_PAUSE_AFTER_ERROR = 1.0
_CLOCK_THREAD = "clock"
# Of sqlite3, which only the store imports; a full disk and a lock are OperationalError.
_DAMAGED = "DatabaseError"

_log = logging.getLogger(__name__)


class Wakeups:
    """Wakes the shards' workers, from any process."""

    def __init__(self, data_dir: Path, shards: Sequence[ShardNames]) -> None:
        self._path = data_dir / "huey.db"
        self._shards = {shard.index: shard for shard in shards}

    def wake(self, shard: int) -> None:
        """Wake the shard's worker. Never raises: a failure is logged, and the worker finds the run within minutes."""
        self._wake(shard)

    def wake_at(self, shard: int, at: datetime) -> None:
        """Wake the shard's worker within about a second after `at` (with a time zone). Never raises."""
        self._wake(shard, at)

    def idle(self) -> list[int] | None:
        """The shards whose worker waits for a wake-up; None if unknown, as in every process except the serving one."""
        return None

    def _wake(self, shard: int, at: datetime | None = None) -> None:
        if shard not in self._shards:
            _log.warning("Shard %d does not exist and cannot be notified.", shard)
            return
        try:
            self._send(shard, at)
        except Exception as error:  # noqa: BLE001 - a failed wake-up must not fail its caller
            if type(error).__name__ == _DAMAGED:
                # A process that serves notices that, creates the file again and wakes every shard.
                with contextlib.suppress(OSError):
                    _remove_file(self._path)
                _log.warning("The wake-up file %s was damaged (%s) and was removed.", self._path, error)
                return
            _log.warning("The wake-up for shard %d was not saved (%s).", shard, error)

    def _send(self, shard: int, at: datetime | None) -> None:
        # Opened each time: `serve` replaces the file when it starts.
        with contextlib.closing(_File(self._shards[shard].queue, self._path)) as file:
            _Queue(file).send(at)


class Workers(Wakeups):
    """The shards' worker threads, in the one process that serves.

    Args:
        data_dir: the data folder; the caller must have its lock, as this replaces `huey.db`.
        shards: one thread each, named after the shard.
        work: called as `work(shard)` in that shard's thread. An exception from it is logged, and the thread continues.

    Raises:
        StoreError: `huey.db` cannot be created.
    """

    def __init__(self, data_dir: Path, shards: Sequence[ShardNames], *, work: Callable[[int], None]) -> None:
        super().__init__(data_dir, shards)
        self._stopping = threading.Event()
        try:
            _remove_file(self._path)
            self._shared_file = _File("all", self._path)
            self._consumers = {
                shard.index: _Consumer(_Inbox(shard, self._path, work), shard.thread) for shard in shards
            }
        except Exception as error:
            raise StoreError(
                f"The wake-up file {self._path} cannot be created: {error}.",
                hint="Check the disk's free space, and that this user owns the data folder. Deleting the file is safe.",
            ) from error
        self._jobs: list[_Job] = []
        # Not in the file: a run that waits for disk space must be woken although the file could not be written.
        self._timed: set[tuple[datetime, int]] = set()
        self._timed_lock = threading.Lock()
        self._reader = threading.Thread(target=self._read_file, name="wake-ups", daemon=True)
        self._clock = threading.Thread(target=self._run_jobs, name=_CLOCK_THREAD, daemon=True)
        # huey logs every message at INFO, and if the file cannot be read, one error per shard and second.
        logging.getLogger("huey").setLevel(logging.WARNING)
        logging.getLogger("huey.consumer.Scheduler").setLevel(logging.CRITICAL)

    def every(self, name: str, seconds: float, job: Callable[[], None]) -> None:
        """Run a job in the thread `clock`, first at `start`, then `seconds` after each end."""
        self._jobs.append(_Job(name, seconds, job))

    def start(self) -> None:
        """Start the threads. Call it once."""
        for consumer in self._consumers.values():
            consumer.start()
        self._reader.start()
        if self._jobs:
            self._clock.start()

    def stop(self, grace: float) -> bool:
        """Start no more work, and wait up to `grace` seconds for the running work. Idempotent.

        Returns:
            True if all threads have ended. The others end with the process.
        """
        deadline = time.monotonic() + grace
        self._stopping.set()
        threads = [self._reader, self._clock]
        if self._reader.ident:
            # The reader restarts workers that have ended, so it must end before them.
            self._reader.join(grace)
        for consumer in self._consumers.values():
            consumer.stop()
            consumer.inbox.woken.set()
            threads += consumer.threads()
        for thread in threads:
            if thread.ident:
                thread.join(max(0.0, deadline - time.monotonic()))
        ended = not any(thread.is_alive() for thread in threads)
        if ended:
            for consumer in self._consumers.values():
                consumer.inbox.close()
            self._shared_file.close()
        return ended

    def alive(self) -> dict[str, bool]:
        """Each thread's name and whether it runs. A worker that died is restarted within about a second."""
        threads = [thread for consumer in self._consumers.values() for thread in consumer.threads()]
        threads.append(self._reader)
        if self._jobs:
            threads.append(self._clock)
        return {thread.name: thread.is_alive() for thread in threads}

    def jobs(self) -> dict[str, float]:
        """Each periodic job, and when it last succeeded, in seconds since 1970; before that, when it was added."""
        return {job.name: job.succeeded_at for job in self._jobs}

    def idle(self) -> list[int]:
        """The shards whose thread runs, does not work and has no pending wake-up."""
        return [shard for shard, consumer in self._consumers.items() if consumer.is_idle()]

    def _send(self, shard: int, at: datetime | None) -> None:
        if at is None:
            self._consumers[shard].huey.send(at)
            return
        with self._timed_lock:
            self._timed.add((at, shard))

    def _wake_due(self) -> None:
        now = datetime.now(UTC)
        with self._timed_lock:
            due = {(at, shard) for at, shard in self._timed if at <= now}
            self._timed -= due
        for _, shard in due:
            self._consumers[shard].inbox.woken.set()

    def _read_file(self) -> None:
        """Forward other processes' wake-ups, and restart dead workers, which otherwise only huey's main loop does."""
        inboxes = {consumer.inbox.name: consumer.inbox for consumer in self._consumers.values()}
        failing = False
        check_threads_at = 0.0
        while not self._stopping.wait(_PAUSE_AFTER_ERROR if failing else _READ_FILE_EVERY):
            problem = self._forward(inboxes)
            if problem and not failing:
                _log.warning("The wake-up file %s %s. It is created again.", self._path, problem)
            failing = bool(problem) and not self._create_file_again()
            self._wake_due()
            if time.monotonic() >= check_threads_at:
                check_threads_at = time.monotonic() + _CHECK_THREADS_EVERY
                for consumer in self._consumers.values():
                    consumer.check_worker_health()

    def _forward(self, inboxes: Mapping[str, "_Inbox"]) -> str:
        """Forward the messages in the file; returns what is wrong with the file, or ""."""
        try:
            for queue in self._shared_file.take_messages() & inboxes.keys():
                inboxes[queue].woken.set()
        except Exception as error:  # noqa: BLE001 - wake-ups within this process do not need the file
            return f"cannot be read ({error})"
        return "" if self._shared_file.is_current() else "was removed or replaced"

    def _create_file_again(self) -> bool:
        """Replace a damaged or removed file; True if that succeeded. Its wake-ups are lost, so every shard is woken."""
        try:
            _remove_file(self._path)
            for file in (self._shared_file, *(consumer.inbox for consumer in self._consumers.values())):
                file.open_again()
        except Exception as error:  # noqa: BLE001 - such as a full disk: the next turn tries again
            _log.debug("The wake-up file %s cannot be created now: %s", self._path, error)
            return False
        for consumer in self._consumers.values():
            consumer.inbox.woken.set()
        return True

    def _run_jobs(self) -> None:
        while True:
            job = min(self._jobs, key=lambda job: job.due)
            if self._stopping.wait(max(0.0, job.due - time.monotonic())):
                return
            try:
                job.run()
                job.succeeded_at = time.time()
            except ApplianceError as error:
                _log.warning("The periodic job %s could not be completed: %s", job.name, error)
            except Exception:  # noqa: BLE001 - the next time may succeed, and other jobs must run
                _log.exception("The periodic job %s failed.", job.name)
            job.due = time.monotonic() + job.seconds


def _remove_file(path: Path) -> None:
    """Remove the file and what SQLite keeps next to it. Idempotent."""
    # The file last: its absence makes the serving process create all three again, and those must stay.
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class _File(SqliteStorage):  # type: ignore[misc] # huey has no types
    """The file that all queues and processes share."""

    def __init__(self, name: str, path: Path) -> None:
        self._create(path)
        self._version: int | None = None
        # No sync needed: after a power failure the file is replaced anyway.
        super().__init__(name, filename=str(path), cache_mb=1, fsync=False)

    def _create(self, path: Path) -> None:
        # Not with `open`: closing the file would drop the locks that this process's other connections have on it.
        with contextlib.suppress(FileExistsError):
            os.mknod(path, 0o600)
        self._inode = path.stat().st_ino

    def is_current(self) -> bool:
        """Whether the path still leads to the file that is open."""
        try:
            return Path(self.filename).stat().st_ino == self._inode
        except OSError:
            return False

    def open_again(self) -> None:
        """Use the file that is at the path now; creates it if there is none."""
        self.close()
        self._create(Path(self.filename))
        self._version = None
        self.initialize_schema()

    def take_messages(self) -> set[str]:
        """Delete all messages; returns the queues that had any. Cheap while no process writes to the file."""
        # Changes when another connection commits: https://www.sqlite.org/pragma.html#pragma_data_version
        version = self.sql("PRAGMA data_version", results=True)[0][0]
        if version == self._version:
            return set()
        queues = {queue for (queue,) in self.sql("DELETE FROM task RETURNING queue", results=True)}
        self._version = version
        return queues

    def add_to_schedule(self, data: bytes, ts: datetime) -> None:
        # huey passes UTC without a time zone, and computes its timestamp as local time: an hour off when the clocks
        # change.
        super().add_to_schedule(data, ts.replace(tzinfo=UTC))

    def read_schedule(self, ts: datetime) -> Any:  # noqa: ANN401 - huey's messages
        at = ts.replace(tzinfo=UTC)
        # The read, once per second and queue, needs no exclusive transaction; only removal does.
        due = self.sql(
            "SELECT 1 FROM schedule WHERE queue = ? AND timestamp <= ? LIMIT 1",
            (self.name, at.timestamp()),
            results=True,
        )
        return super().read_schedule(at) if due else []


class _Inbox(_File):
    """A worker's wake-ups. One from this process only sets an event: it is noticed at once, without disk access."""

    def __init__(self, shard: ShardNames, path: Path, work: Callable[[int], None]) -> None:
        self.woken = threading.Event()
        self.working = False
        self.work: Callable[[], None] = lambda: work(shard.index)
        super().__init__(shard.queue, path)

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        del data, priority
        self.woken.set()


class _Queue(Huey):  # type: ignore[misc] # huey has no types
    """A shard's huey instance, with one kind of message. Messages are counted, never executed."""

    def __init__(self, storage: _File) -> None:
        super().__init__(storage.name, storage_class=lambda _: storage, results=False)

        def wake() -> None:
            """Give the message its name."""

        self._wake = self.task()(wake)

    def send(self, at: datetime | None) -> None:
        if at is None:
            self.enqueue(self._wake.s())
        else:
            self.add_schedule(self._wake.s(eta=at))


class _Worker(Worker):  # type: ignore[misc] # huey has no types
    """Waits for an event; huey's own worker polls with increasing pauses. Several wake-ups cause one call of `work`."""

    def loop(self, now: datetime | None = None) -> None:
        del now
        inbox: _Inbox = self.huey.storage
        inbox.working = False
        inbox.woken.wait()
        inbox.working = True
        # Clear it before the work starts: a later wake-up must cause another call.
        inbox.woken.clear()
        if self.stop_flag.is_set():
            return
        try:
            inbox.work()
        except Exception:  # noqa: BLE001 - the thread must take the next wake-up
            _log.exception("The work of %s failed.", inbox.name)


class _Consumer(Consumer):  # type: ignore[misc] # huey has no types
    """A named worker thread and its scheduler, in a process that handles signals itself."""

    worker_class = _Worker

    def __init__(self, inbox: _Inbox, thread: str) -> None:
        self.inbox = inbox
        self._thread = thread
        super().__init__(_Queue(inbox), workers=1, periodic=False, scheduler_interval=1)

    def is_idle(self) -> bool:
        (_, thread), *_ = self.worker_threads
        return thread.is_alive() and not self.inbox.working and not self.inbox.woken.is_set()

    def threads(self) -> list[threading.Thread]:
        return [*(thread for _, thread in self.worker_threads), self.scheduler]

    def _create_process(self, process: Any, name: str) -> Any:  # noqa: ANN401 - huey's loops and threads
        return super()._create_process(process, f"{self._thread}-schedule" if name == "Scheduler" else self._thread)

    def _set_signal_handlers(self) -> None:
        """Do nothing: the web server handles the signals."""


@dataclass
class _Job:
    """A periodic job; `due` is in seconds of the monotonic clock, `succeeded_at` in seconds since 1970."""

    name: str
    seconds: float
    run: Callable[[], None]
    due: float = 0.0
    succeeded_at: float = field(default_factory=time.time)
