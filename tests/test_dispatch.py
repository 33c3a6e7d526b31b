"""Rings reach the shard's own thread; what fails on the way costs a ring at most, never a thread or a caller."""

import logging
import queue
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from moonmind_appliance.dispatch import Doorbell, Workers
from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import ShardName

SHARDS = [ShardName(index, "codex_auth_") for index in range(3)]
PATIENCE = 20.0

_RING = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from moonmind_appliance.dispatch import Doorbell
from moonmind_appliance.models import ShardName

bell = Doorbell(Path(sys.argv[1]), [ShardName(i, "codex_auth_") for i in range(3)])
if len(sys.argv) > 4:
    bell.ring_at(int(sys.argv[2]), sys.argv[3], datetime.now(UTC) + timedelta(seconds=float(sys.argv[4])))
else:
    bell.ring(int(sys.argv[2]), sys.argv[3])
"""


class Work:
    """Notes what was called where; a run named after a key of `deeds` does that deed first."""

    def __init__(self) -> None:
        self.calls: queue.Queue[tuple[int, str, str]] = queue.Queue()
        self.deeds: dict[str, Callable[[], object]] = {}

    def __call__(self, shard: int, run_id: str) -> None:
        self.calls.put((shard, run_id, threading.current_thread().name))
        self.deeds.get(run_id, lambda: None)()

    def next(self) -> tuple[int, str, str]:
        return self.calls.get(timeout=PATIENCE)


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
        workers.close()


@pytest.fixture
def workers(make_workers: Callable[[], Workers]) -> Workers:
    workers = make_workers()
    workers.start()
    return workers


@contextmanager
def no_file_grows() -> Iterator[None]:
    """The kernel refuses to let any file of this process grow: as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)


def until(what: Callable[[], bool]) -> None:
    """Wait for something that comes by itself."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def ring_in_another_process(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-c", _RING, str(folder), *arguments], check=True)


class TestRing:
    def test_the_shards_own_thread(self, workers: Workers, work: Work) -> None:
        """A ring calls the work with its run, in the thread that has the shard's name."""
        for shard in (2, 0, 1):
            workers.ring(shard, f"run-{shard}")
            assert work.next() == (shard, f"run-{shard}", f"codex-{shard}")

    def test_side_by_side(self, workers: Workers, work: Work) -> None:
        """All shards work at the same time."""
        together = threading.Barrier(3)
        for shard in range(3):
            work.deeds[f"run-{shard}"] = lambda: together.wait(PATIENCE)
            workers.ring(shard, f"run-{shard}")
        assert {work.next()[0] for _ in range(3)} == {0, 1, 2}
        until(lambda: workers.idle() == [0, 1, 2])
        assert not together.broken

    def test_in_order(self, workers: Workers, work: Work) -> None:
        """One shard's rings come one after the other, in their order, none lost."""
        for number in range(30):
            workers.ring(1, f"run-{number}")
        assert [work.next()[1] for _ in range(30)] == [f"run-{number}" for number in range(30)]

    def test_from_many_threads(self, workers: Workers, work: Work) -> None:
        """Rings of many threads at once all arrive."""
        threads = [threading.Thread(target=workers.ring, args=(i % 3, f"run-{i}")) for i in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {work.next()[1] for _ in range(24)} == {f"run-{i}" for i in range(24)}

    def test_from_another_process(self, workers: Workers, work: Work, tmp_path: Path) -> None:
        """A ring of another process arrives."""
        ring_in_another_process(tmp_path, "1", "theirs")
        assert work.next() == (1, "theirs", "codex-1")
        assert workers.alive()["codex-1"]

    def test_before_the_start(self, make_workers: Callable[[], Workers], work: Work, tmp_path: Path) -> None:
        """Rings that came before the workers started, from anybody, are heard when they start."""
        doorbell = Doorbell(tmp_path, SHARDS)
        doorbell.ring(0, "early")
        doorbell.close()
        workers = make_workers()
        workers.ring(0, "own")
        workers.start()
        assert {work.next()[1], work.next()[1]} == {"early", "own"}

    def test_no_such_shard(self, workers: Workers, work: Work, caplog: pytest.LogCaptureFixture) -> None:
        """A ring for a shard that is not there is logged and dropped."""
        workers.ring(7, "lost")
        workers.ring_at(7, "lost", datetime.now(UTC))
        assert caplog.text.count("there is no shard 7") == 2
        workers.ring(0, "next")
        assert work.next()[1] == "next"

    def test_nowhere_to_ring(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A ring that cannot be kept is logged, and does not fail its caller."""
        Doorbell(tmp_path / "absent", SHARDS).ring(0, "lost")
        assert "run lost" in caplog.text.lower()

    def test_full_disk(self, workers: Workers, work: Work, caplog: pytest.LogCaptureFixture) -> None:
        """Within the process a ring arrives also when the disk does not take it."""
        with no_file_grows():
            for number in range(3):
                workers.ring(0, f"run-{number}")
            assert [work.next()[1] for _ in range(3)] == ["run-0", "run-1", "run-2"]
        assert "was not kept" in caplog.text

    def test_private(self, workers: Workers, work: Work, tmp_path: Path) -> None:
        """The queues' file is its owner's alone."""
        workers.ring(0, "run")
        work.next()
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


class TestSchedule:
    @pytest.mark.parametrize("ahead", [-60.0, 0.5])
    def test_not_before_its_time(self, workers: Workers, work: Work, ahead: float) -> None:
        """A ring for a time comes, not before it; one for a time that is over comes too."""
        at = datetime.now(UTC) + timedelta(seconds=ahead)
        workers.ring_at(2, "later", at)
        assert work.next() == (2, "later", "codex-2")
        assert datetime.now(UTC) >= at

    def test_time_zones(self, workers: Workers, work: Work) -> None:
        """A time of another zone is the moment that it names."""
        east = datetime.now(UTC).astimezone(ZoneInfo("Asia/Tokyo"))
        workers.ring_at(0, "tomorrow", east + timedelta(days=1))
        workers.ring_at(0, "now", east)
        assert work.next()[1] == "now"
        assert work.calls.empty()

    def test_of_another_process(self, make_workers: Callable[[], Workers], work: Work, tmp_path: Path) -> None:
        """What another process scheduled, before the workers started, comes at its time."""
        ring_in_another_process(tmp_path, "0", "planned", "0.2")
        make_workers().start()
        assert work.next()[1] == "planned"

    def test_while_at_work(self, workers: Workers, work: Work) -> None:
        """A ring that comes due while its shard is at work is heard afterwards."""
        free = threading.Event()
        work.deeds["long"] = lambda: free.wait(PATIENCE)
        workers.ring(0, "long")
        work.next()
        workers.ring_at(0, "due", datetime.now(UTC))
        workers.ring(1, "other shard")
        assert work.next()[1] == "other shard"
        free.set()
        assert work.next()[1] == "due"


class TestClock:
    def test_again_and_again(self, make_workers: Callable[[], Workers]) -> None:
        """A job is done soon after the start and again, in the thread "clock", whatever it raises."""
        workers = make_workers()
        done: queue.Queue[str] = queue.Queue()

        def job() -> None:
            done.put(threading.current_thread().name)
            raise ValueError("the job's own trouble")

        workers.every("check", 1, job)
        workers.start()
        assert [done.get(timeout=PATIENCE) for _ in range(3)] == ["clock"] * 3
        assert workers.alive()["clock"]

    def test_never_twice_at_once(self, make_workers: Callable[[], Workers]) -> None:
        """A job that takes longer than its interval is not done beside itself, nor do its turns pile up."""
        workers = make_workers()
        begun: queue.Queue[float] = queue.Queue()
        go_on = threading.Event()

        def slow() -> None:
            begun.put(time.monotonic())
            go_on.wait(PATIENCE)

        workers.every("slow", 1, slow)
        workers.start()
        begun.get(timeout=PATIENCE)
        until(lambda: workers._consumers["clock"].huey.pending_count() >= 2)
        assert begun.empty()
        go_on.set()
        ended = time.monotonic()
        assert begun.get(timeout=PATIENCE) >= ended + 0.5

    def test_a_job_holds_no_ring_up(self, make_workers: Callable[[], Workers], work: Work) -> None:
        """While a job takes its time, rings and due rings go on."""
        workers = make_workers()
        begun, go_on = threading.Event(), threading.Event()

        def slow() -> None:
            begun.set()
            go_on.wait(PATIENCE)

        workers.every("slow", 60, slow)
        workers.start()
        assert begun.wait(PATIENCE)
        workers.ring(0, "now")
        workers.ring_at(1, "due", datetime.now(UTC))
        assert {work.next()[1], work.next()[1]} == {"now", "due"}
        go_on.set()

    def test_old_turns_are_forgotten(self, make_workers: Callable[[], Workers]) -> None:
        """Turns that an earlier process left, also of jobs that are no more, do not disturb the next."""
        first = make_workers()
        first.every("old job", 1, lambda: None)
        first.start()
        assert first.stop(PATIENCE)
        done = threading.Event()
        second = make_workers()
        second.every("new job", 60, done.set)
        second.start()
        assert done.wait(PATIENCE)


class TestTrouble:
    def test_work_that_raises(self, workers: Workers, work: Work, caplog: pytest.LogCaptureFixture) -> None:
        """Work that raises is logged, and its thread takes the next ring."""
        work.deeds["bad"] = lambda: 1 / 0
        workers.ring(0, "bad")
        workers.ring(0, "good")
        assert [work.next()[1], work.next()[1]] == ["bad", "good"]
        until(lambda: workers.idle() == [0, 1, 2])
        assert "ZeroDivisionError" in caplog.text

    def test_nonsense(self, workers: Workers, work: Work, caplog: pytest.LogCaptureFixture) -> None:
        """A message that cannot be read is logged and dropped; the next one is taken."""
        workers._line(0).huey.storage.enqueue(b"nonsense")
        workers.ring(0, "next")
        assert work.next()[1] == "next"
        assert "codex-0 cannot be read" in caplog.text

    def test_a_thread_that_dies(self, workers: Workers, work: Work) -> None:
        """A thread that died is seen, is not idle, and is started again under its name."""
        work.deeds["deadly"] = lambda: sys.exit(1)
        thread = next(t for t in threading.enumerate() if t.name == "codex-1")
        workers.ring(1, "deadly")
        work.next()
        thread.join(PATIENCE)
        until(lambda: workers.alive()["codex-1"] and workers.idle() == [0, 1, 2])
        workers.ring(1, "next")
        assert work.next() == (1, "next", "codex-1")

    def test_deleted_file(self, make_workers: Callable[[], Workers], work: Work, tmp_path: Path) -> None:
        """A file that was deleted while nobody ran is made anew."""
        first = make_workers()
        first.start()
        assert first.stop(PATIENCE)
        for path in tmp_path.glob("huey.db*"):
            path.unlink()
        second = make_workers()
        second.start()
        second.ring(0, "run")
        assert work.next()[1] == "run"

    def test_deleted_under_way(self, workers: Workers, work: Work, tmp_path: Path) -> None:
        """A file that is deleted under way is made anew, for rings from within and from without."""
        workers.ring(0, "before")
        work.next()
        (tmp_path / "huey.db").unlink()
        ring_in_another_process(tmp_path, "1", "theirs")
        assert work.next()[1] == "theirs"
        (tmp_path / "huey.db").unlink()
        workers.ring(2, "own")
        assert work.next()[1] == "own"
        assert (tmp_path / "huey.db").exists()

    @pytest.mark.parametrize("kept", [0, 4096])
    def test_damaged_file(
        self,
        make_workers: Callable[[], Workers],
        work: Work,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        kept: int,
    ) -> None:
        """A damaged file, from its head or inside, is set aside with a line in the log, and made anew."""
        first = make_workers()
        first.start()
        first.ring(0, "before")
        work.next()
        assert first.stop(PATIENCE)
        file = tmp_path / "huey.db"
        content = file.read_bytes()
        file.write_bytes(content[:kept] + b"\xa5" * (len(content) - kept))
        second = make_workers()
        second.start()
        second.ring(0, "after")
        assert work.next()[1] == "after"
        assert "was set aside" in caplog.text
        assert len(list(tmp_path.glob("huey.db.damaged-*"))) == 1

    def test_damaged_under_way(self, workers: Workers, work: Work, tmp_path: Path) -> None:
        """Damage under way costs no ring of this process, and the file is made anew."""
        workers.ring(0, "before")
        work.next()
        # From outside: closing a file drops the locks that SQLite has on it in the same process.
        spoil = (
            "import sys, pathlib; p = pathlib.Path(sys.argv[1]); f = p.open('r+b'); f.write(b'?' * p.stat().st_size)"
        )
        for name in ("huey.db", "huey.db-wal"):
            subprocess.run([sys.executable, "-c", spoil, str(tmp_path / name)], check=True)
        workers.ring(0, "during")
        assert work.next()[1] == "during"
        until(lambda: any(tmp_path.glob("huey.db.damaged-*")) and (tmp_path / "huey.db").exists())
        ring_in_another_process(tmp_path, "0", "after")
        assert work.next()[1] == "after"

    def test_no_folder(self, tmp_path: Path, work: Work) -> None:
        """Workers that cannot make their file do not start, and say what to do."""
        workers = Workers(tmp_path / "absent", SHARDS, work=work)
        with pytest.raises(StoreError, match=r"huey\.db cannot be used") as refusal:
            workers.start()
        assert refusal.value.hint
        assert workers.stop(PATIENCE)


class TestStop:
    def test_work_in_hand(self, workers: Workers, work: Work) -> None:
        """Stopping waits for the work in hand, takes no new message, and ends every thread."""
        ended = []

        def deed() -> None:
            until(workers._stopping.is_set)
            ended.append(True)

        work.deeds["long"] = deed
        workers.ring(0, "long")
        workers.ring(0, "not taken")
        assert work.next()[1] == "long"
        assert workers.stop(PATIENCE) is True
        assert ended == [True]
        assert work.calls.empty()
        assert set(workers.alive().values()) == {False}
        assert workers.idle() == []

    def test_what_was_not_taken(self, make_workers: Callable[[], Workers], workers: Workers, work: Work) -> None:
        """A message that was not taken is there for the next process."""
        assert workers.stop(PATIENCE)
        workers.ring(0, "kept")
        make_workers().start()
        assert work.next()[1] == "kept"

    def test_work_that_does_not_end(self, workers: Workers, work: Work) -> None:
        """When the grace is over stopping says so instead of hanging."""
        free = threading.Event()
        work.deeds["endless"] = lambda: free.wait(PATIENCE)
        workers.ring(0, "endless")
        work.next()
        assert workers.stop(0.05) is False
        assert workers.alive()["codex-0"]
        free.set()
        assert workers.stop(PATIENCE) is True

    def test_twice_and_never_started(self, make_workers: Callable[[], Workers], workers: Workers) -> None:
        """Stopping twice, or before a start, is fine."""
        assert workers.stop(PATIENCE)
        assert workers.stop(0)
        assert make_workers().stop(0)

    def test_signals_stay_the_servers(self, workers: Workers) -> None:
        """Starting leaves the process's signal handlers as they are."""
        assert workers.alive()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


class TestIdle:
    def test_at_work(self, workers: Workers, work: Work) -> None:
        """A shard at work is not idle, and is again afterwards; nor is one that was rung and not yet woken."""
        free = threading.Event()
        work.deeds["long"] = lambda: free.wait(PATIENCE)
        until(lambda: workers.idle() == [0, 1, 2])
        workers.ring(1, "long")
        assert 1 not in workers.idle()
        work.next()
        assert workers.idle() == [0, 2]
        free.set()
        until(lambda: workers.idle() == [0, 1, 2])

    def test_not_started(self, make_workers: Callable[[], Workers]) -> None:
        """Before the start nobody is idle."""
        assert make_workers().idle() == []


def test_quiet_log(workers: Workers, work: Work, caplog: pytest.LogCaptureFixture) -> None:
    """An ordinary ring leaves nothing in the log, down to INFO."""
    with caplog.at_level(logging.INFO):
        workers.ring(0, "run")
        work.next()
        until(lambda: workers.idle() == [0, 1, 2])
    assert caplog.text == ""
