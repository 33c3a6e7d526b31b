"""A wake-up starts the work in the shard's own thread. A failure loses at most a wake-up, and never a thread."""

import itertools
import logging
import queue
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from huey.consumer import Consumer

from moonmind_appliance.dispatch import Wakeups, Workers
from moonmind_appliance.errors import StoreError
from tests.dispatching import PATIENCE, SHARDS, Work, no_file_grows, until, wake_in_another_process


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def make_workers(tmp_path: Path, work: Work) -> Iterator[Callable[[], Workers]]:
    made: list[Workers] = []

    def make() -> Workers:
        made.append(Workers(tmp_path, SHARDS, work=work))
        return made[-1]

    yield make
    for workers in made:
        assert workers.stop(PATIENCE)


@pytest.fixture
def workers(make_workers: Callable[[], Workers]) -> Workers:
    workers = make_workers()
    workers.start()
    return workers


class TestWake:
    def test_the_shards_own_thread(self, workers: Workers, work: Work) -> None:
        """A wake-up calls the work with the shard's number, in the thread that has the shard's name."""
        for shard in (2, 0, 1):
            workers.wake(shard)
            assert work.next() == (shard, f"codex-{shard}")

    def test_in_parallel(self, workers: Workers, work: Work) -> None:
        """All shards work at the same time."""
        together = threading.Barrier(3)
        for shard in range(3):
            work.actions[shard] = lambda: together.wait(PATIENCE)
            workers.wake(shard)
        assert {work.next()[0] for _ in range(3)} == {0, 1, 2}
        until(lambda: workers.idle() == [0, 1, 2])
        assert not together.broken

    def test_while_working(self, workers: Workers, work: Work) -> None:
        """However often a shard is woken while it works, it works once more afterwards: that takes all runs."""
        finish = threading.Event()
        work.actions[1] = lambda: finish.wait(PATIENCE)
        workers.wake(1)
        work.next()
        for _ in range(30):
            workers.wake(1)
        finish.set()
        assert work.next() == (1, "codex-1")
        until(lambda: workers.idle() == [0, 1, 2])
        assert work.calls.empty()

    def test_from_many_threads(self, workers: Workers, work: Work) -> None:
        """Every shard works after its last wake-up, whichever threads woke it."""
        threads = [threading.Thread(target=workers.wake, args=(i % 3,)) for i in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: workers.idle() == [0, 1, 2])
        assert {work.next()[0] for _ in range(work.calls.qsize())} == {0, 1, 2}

    def test_from_another_process(self, workers: Workers, work: Work, tmp_path: Path) -> None:
        """A wake-up of another process arrives."""
        wake_in_another_process(tmp_path, "1")
        assert work.next() == (1, "codex-1")
        assert workers.alive()["codex-1"]

    def test_before_the_start(self, make_workers: Callable[[], Workers], work: Work, tmp_path: Path) -> None:
        """Wake-ups of any process between construction and start take effect at the start."""
        workers = make_workers()
        Wakeups(tmp_path, SHARDS).wake(0)
        workers.wake(2)
        workers.start()
        assert {work.next()[0], work.next()[0]} == {0, 2}

    def test_no_such_shard(self, workers: Workers, work: Work, caplog: pytest.LogCaptureFixture) -> None:
        """A wake-up for a shard that does not exist is logged and dropped."""
        workers.wake(7)
        workers.wake_at(7, datetime.now(UTC))
        assert caplog.text.count("Shard 7 does not exist") == 2
        workers.wake(0)
        assert work.next()[0] == 0

    def test_no_folder(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A wake-up that cannot be saved is logged, and does not fail its caller."""
        Wakeups(tmp_path / "absent", SHARDS).wake(0)
        assert "The wake-up for shard 0 was not saved" in caplog.text

    def test_full_disk(self, workers: Workers, work: Work, caplog: pytest.LogCaptureFixture) -> None:
        """Within the process a wake-up arrives also on a full disk, at once or at its time."""
        with no_file_grows():
            for shard in range(3):
                workers.wake(shard)
            assert {work.next()[0] for _ in range(3)} == {0, 1, 2}
            for number in range(200):
                workers.wake_at(0, datetime.now(UTC) + timedelta(days=1, seconds=number))
            workers.wake_at(1, datetime.now(UTC) + timedelta(seconds=0.1))
            assert work.next()[0] == 1
        assert caplog.text == ""

    def test_private(self, workers: Workers, work: Work, tmp_path: Path) -> None:
        """Only its owner can read the file."""
        workers.wake_at(0, datetime.now(UTC))
        work.next()
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


class TestSchedule:
    @pytest.mark.parametrize("ahead", [-60.0, 0.5])
    def test_not_early(self, workers: Workers, work: Work, ahead: float) -> None:
        """A wake-up for a time does not come before it; one for a time in the past comes too."""
        at = datetime.now(UTC) + timedelta(seconds=ahead)
        workers.wake_at(2, at)
        assert work.next() == (2, "codex-2")
        assert datetime.now(UTC) >= at

    def test_time_zones(self, workers: Workers, work: Work) -> None:
        """A time in another zone is the moment that it names."""
        east = datetime.now(UTC).astimezone(ZoneInfo("Asia/Tokyo"))
        workers.wake_at(1, east + timedelta(hours=1))
        workers.wake_at(0, east)
        assert work.next()[0] == 0
        assert work.calls.empty()

    def test_the_machines_time_zone(self, tmp_path: Path) -> None:
        """A time in UTC is that moment also where the clocks of the machine change in between."""
        hour_that_does_not_exist = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
        script = (
            "import sys, sqlite3; from datetime import datetime; from pathlib import Path\n"
            "from moonmind_appliance.dispatch import Wakeups; from moonmind_appliance.models import ShardNames\n"
            "folder = Path(sys.argv[1]); at = datetime.fromisoformat(sys.argv[2])\n"
            "Wakeups(folder, [ShardNames(0, 'codex_auth_')]).wake_at(0, at)\n"
            "print(sqlite3.connect(folder / 'huey.db').execute('SELECT timestamp FROM schedule').fetchone()[0])\n"
        )
        printed = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path), hour_that_does_not_exist.isoformat()],
            env={"TZ": "America/New_York", "PYTHONPATH": ":".join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert float(printed) == hour_that_does_not_exist.timestamp()

    def test_of_another_process(self, workers: Workers, work: Work, tmp_path: Path) -> None:
        """What another process scheduled comes at its time."""
        wake_in_another_process(tmp_path, "0", "0.2")
        assert work.next() == (0, "codex-0")
        assert workers.alive()["codex-0-schedule"]

    def test_while_working(self, workers: Workers, work: Work) -> None:
        """A wake-up that is due while its shard works takes effect afterwards, and delays no other shard."""
        finish = threading.Event()
        work.actions[0] = lambda: finish.wait(PATIENCE)
        workers.wake(0)
        work.next()
        workers.wake_at(0, datetime.now(UTC))
        workers.wake_at(1, datetime.now(UTC))
        assert work.next()[0] == 1
        finish.set()
        assert work.next()[0] == 0


class TestClock:
    def test_periodically(self, make_workers: Callable[[], Workers]) -> None:
        """A job runs soon after the start and again, in the thread "clock", whatever it raises."""
        workers = make_workers()
        done: queue.Queue[str] = queue.Queue()

        def job() -> None:
            done.put(threading.current_thread().name)
            raise ValueError("a failure of the job")

        workers.every("check", 0.1, job)
        workers.start()
        assert [done.get(timeout=PATIENCE) for _ in range(3)] == ["clock"] * 3
        assert workers.alive()["clock"]

    def test_success_is_recorded(self, make_workers: Callable[[], Workers]) -> None:
        """When each job last succeeded; one that fails keeps the time at which it was added."""
        workers = make_workers()
        added = time.time()
        workers.every("good", 0.01, lambda: None)
        workers.every("bad", 0.01, lambda: 1 / 0)
        known = workers.jobs()
        workers.start()
        until(lambda: workers.jobs()["good"] > known["good"])
        assert workers.jobs()["bad"] == known["bad"] >= added

    def test_expected_failure(self, make_workers: Callable[[], Workers], caplog: pytest.LogCaptureFixture) -> None:
        """A job that a full disk prevents is no bug: the log has its reason and no traceback."""
        workers = make_workers()

        def job() -> None:
            raise StoreError("no space left on the disk")

        workers.every("retain", 0.01, job)
        workers.start()
        until(lambda: bool(caplog.records))
        assert caplog.records[0].getMessage() == (
            "The periodic job retain could not be completed: no space left on the disk"
        )
        assert caplog.records[0].exc_info is None

    def test_interval(self, make_workers: Callable[[], Workers]) -> None:
        """The interval begins when the job has ended: a slow job does not pile up."""
        workers = make_workers()
        times: queue.Queue[tuple[float, float]] = queue.Queue()

        def slow() -> None:
            began = time.monotonic()
            workers._stopping.wait(0.3)
            times.put((began, time.monotonic()))

        workers.every("slow", 0.2, slow)
        workers.start()
        runs = [times.get(timeout=PATIENCE) for _ in range(3)]
        assert all(later[0] >= earlier[1] + 0.2 for earlier, later in itertools.pairwise(runs))

    def test_several_jobs(self, make_workers: Callable[[], Workers]) -> None:
        """Each job has its own interval; a frequent one does not keep a rare one from running."""
        workers = make_workers()
        done: queue.Queue[str] = queue.Queue()
        workers.every("frequent", 0.01, lambda: done.put("frequent"))
        workers.every("rare", 60, lambda: done.put("rare"))
        workers.start()
        seen = [done.get(timeout=PATIENCE) for _ in range(20)]
        assert seen.count("rare") == 1

    def test_a_job_delays_no_wake_up(self, make_workers: Callable[[], Workers], work: Work) -> None:
        """While a job runs, wake-ups arrive, also those for a time."""
        workers = make_workers()
        begun, finish = threading.Event(), threading.Event()

        def slow() -> None:
            begun.set()
            finish.wait(PATIENCE)

        workers.every("slow", 60, slow)
        workers.start()
        assert begun.wait(PATIENCE)
        workers.wake(0)
        workers.wake_at(1, datetime.now(UTC))
        assert {work.next()[0], work.next()[0]} == {0, 1}
        finish.set()


class TestTrouble:
    def test_work_that_raises(self, workers: Workers, work: Work, caplog: pytest.LogCaptureFixture) -> None:
        """An exception of the work is logged, and its thread takes the next wake-up."""
        work.actions[0] = lambda: 1 / 0
        workers.wake(0)
        assert work.next()[0] == 0
        until(lambda: workers.idle() == [0, 1, 2])
        assert "ZeroDivisionError" in caplog.text
        workers.wake(0)
        assert work.next()[0] == 0

    def test_a_thread_that_dies(self, workers: Workers, work: Work) -> None:
        """A thread that died is not idle, and is started again under its name."""
        work.actions[1] = lambda: sys.exit(1)
        thread = next(t for t in threading.enumerate() if t.name == "codex-1")
        workers.wake(1)
        work.next()
        thread.join(PATIENCE)
        until(lambda: workers.alive()["codex-1"] and workers.idle() == [0, 1, 2])
        workers.wake(1)
        assert work.next() == (1, "codex-1")

    def test_a_stop_during_the_check_for_dead_threads(
        self, workers: Workers, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Threads that the stop has ended are not started again."""
        checking, stopping = threading.Event(), threading.Event()
        check = Consumer.check_worker_health

        def slow(consumer: Consumer) -> None:
            checking.set()
            stopping.wait(PATIENCE)
            # Without the order in `stop`, the threads would end in this time.
            time.sleep(0.2)
            check(consumer)

        monkeypatch.setattr(Consumer, "check_worker_health", slow)
        assert checking.wait(PATIENCE)
        stopper = threading.Thread(target=workers.stop, args=(PATIENCE,))
        stopper.start()
        stopping.set()
        stopper.join(PATIENCE)
        assert "died" not in caplog.text

    def test_a_message_that_is_not_hueys(self, workers: Workers, work: Work, tmp_path: Path) -> None:
        """The content of a message does not matter, and is not read."""
        other = Wakeups(tmp_path, SHARDS)
        insert = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
            "c.execute(\"INSERT INTO task (queue, data) VALUES ('codex-2', x'00'), ('unknown', x'00')\"); c.commit()"
        )
        subprocess.run([sys.executable, "-c", insert, str(tmp_path / "huey.db")], check=True)
        assert work.next() == (2, "codex-2")
        other.wake(0)
        assert work.next() == (0, "codex-0")

    @pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + b"\xa5" * 8192])
    def test_created_anew(
        self, make_workers: Callable[[], Workers], work: Work, tmp_path: Path, content: bytes
    ) -> None:
        """Whatever an earlier process or a crash left of the file, the next start replaces it."""
        for name in ("huey.db", "huey.db-wal", "huey.db-shm"):
            (tmp_path / name).write_bytes(content)
        workers = make_workers()
        workers.start()
        wake_in_another_process(tmp_path, "1")
        workers.wake_at(0, datetime.now(UTC))
        assert {work.next()[0], work.next()[0]} == {0, 1}

    def test_old_messages(self, make_workers: Callable[[], Workers], work: Work, tmp_path: Path) -> None:
        """Messages from before the start are dropped: recovery wakes a shard for every queued run."""
        old = Wakeups(tmp_path, SHARDS)
        old.wake(0)
        old.wake_at(1, datetime.now(UTC))
        workers = make_workers()
        workers.start()
        # One after the other: two wake-ups that are noticed together cause one call.
        wake_in_another_process(tmp_path, "2")
        assert work.next()[0] == 2
        workers.wake_at(2, datetime.now(UTC))
        assert work.next()[0] == 2
        assert work.calls.empty()

    def test_another_process_across_a_restart(
        self, make_workers: Callable[[], Workers], work: Work, tmp_path: Path
    ) -> None:
        """A process that woke shards before `serve` restarted wakes them afterwards, too."""
        first = make_workers()
        first.start()
        other = Wakeups(tmp_path, SHARDS)
        other.wake(0)
        assert work.next()[0] == 0
        assert first.stop(PATIENCE)
        make_workers().start()
        other.wake(1)
        assert work.next()[0] == 1

    def test_damaged_while_running(
        self, workers: Workers, work: Work, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The file is created again, which is logged once; wake-ups of every process arrive."""
        wake_in_another_process(tmp_path, "0")
        work.next()
        # From another process: closing a file drops the locks that SQLite has on it in the same process.
        spoil = "import sys, pathlib; p = pathlib.Path(sys.argv[1]); p.open('r+b').write(b'?' * p.stat().st_size)"
        for name in ("huey.db", "huey.db-wal"):
            subprocess.run([sys.executable, "-c", spoil, str(tmp_path / name)], check=True)
        workers.wake_at(1, datetime.now(UTC))
        assert work.next()[0] == 1
        # A process that finds the damage removes the file; every shard is woken.
        wake_in_another_process(tmp_path, "0")
        assert {work.next()[0] for _ in range(3)} == {0, 1, 2}
        wake_in_another_process(tmp_path, "2")
        assert work.next()[0] == 2
        assert caplog.text.count("It is created again") == 1

    def test_removed_while_running(
        self, workers: Workers, work: Work, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The file is created again, readable by its owner only, and every shard is woken once."""
        for path in tmp_path.glob("huey.db*"):
            path.unlink()
        assert {work.next()[0] for _ in range(3)} == {0, 1, 2}
        assert caplog.text.count("It is created again") == 1
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
        wake_in_another_process(tmp_path, "2")
        assert work.next()[0] == 2

    def test_unreadable_while_running(
        self, workers: Workers, work: Work, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A file without its tables is created again."""
        execute = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"
        command = [sys.executable, "-c", execute, str(tmp_path / "huey.db")]
        subprocess.run([*command, "ALTER TABLE task RENAME TO other"], check=True)
        assert {work.next()[0] for _ in range(3)} == {0, 1, 2}
        wake_in_another_process(tmp_path, "2")
        assert work.next()[0] == 2
        assert caplog.text.count("cannot be read (no such table: task). It is created again.") == 1

    def test_no_folder(self, tmp_path: Path, work: Work) -> None:
        """Workers that cannot create their file are refused, with what to do."""
        with pytest.raises(StoreError, match=r"huey\.db cannot be created") as refusal:
            Workers(tmp_path / "absent", SHARDS, work=work)
        assert refusal.value.hint


class TestStop:
    def test_running_work(self, workers: Workers, work: Work) -> None:
        """Stopping waits for the running work, begins no other, and ends every thread."""
        ended = []

        def action() -> None:
            until(workers._stopping.is_set)
            ended.append(True)

        work.actions[0] = action
        workers.wake(0)
        assert work.next()[0] == 0
        workers.wake(0)
        assert workers.stop(PATIENCE) is True
        assert ended == [True]
        assert work.calls.empty()
        assert set(workers.alive().values()) == {False}
        assert workers.idle() == []

    def test_work_that_does_not_end(self, workers: Workers, work: Work) -> None:
        """When the grace is over, stopping reports so instead of hanging."""
        finish = threading.Event()
        work.actions[0] = lambda: finish.wait(PATIENCE)
        workers.wake(0)
        work.next()
        assert workers.stop(0.05) is False
        assert workers.alive()["codex-0"]
        finish.set()
        assert workers.stop(PATIENCE) is True

    def test_twice_and_never_started(self, make_workers: Callable[[], Workers], workers: Workers) -> None:
        """Stopping twice, or before a start, is allowed."""
        assert workers.stop(PATIENCE)
        assert workers.stop(0)
        assert make_workers().stop(0)

    def test_signal_handlers_are_untouched(self, make_workers: Callable[[], Workers]) -> None:
        """Starting leaves the process's signal handlers as they are."""
        signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = [signal.getsignal(each) for each in signals]
        make_workers().start()
        assert [signal.getsignal(each) for each in signals] == before


class TestIdle:
    def test_while_working(self, workers: Workers, work: Work) -> None:
        """A shard that works, or was woken and has not begun yet, is not idle."""
        finish = threading.Event()
        work.actions[1] = lambda: finish.wait(PATIENCE)
        until(lambda: workers.idle() == [0, 1, 2])
        workers.wake(1)
        assert 1 not in workers.idle()
        work.next()
        assert workers.idle() == [0, 2]
        finish.set()
        until(lambda: workers.idle() == [0, 1, 2])

    def test_not_started(self, make_workers: Callable[[], Workers]) -> None:
        """Before the start no shard is idle."""
        assert make_workers().idle() == []

    def test_another_process(self, tmp_path: Path) -> None:
        """A process without workers does not know."""
        assert Wakeups(tmp_path, SHARDS).idle() is None


def test_quiet_log(workers: Workers, work: Work, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ordinary wake-ups leave nothing in the log, down to INFO."""
    with caplog.at_level(logging.INFO):
        workers.wake(0)
        Wakeups(tmp_path, SHARDS).wake(1)
        assert {work.next()[0], work.next()[0]} == {0, 1}
        until(lambda: workers.idle() == [0, 1, 2])
    assert caplog.text == ""
