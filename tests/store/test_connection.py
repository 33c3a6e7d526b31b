"""One file for many threads and processes; committed data stay; errors say what to do."""

import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from moonmind_appliance.errors import DatabaseUnusable, StoreError, UnreadableRow
from moonmind_appliance.models import Run
from moonmind_appliance.store import Database, Store

_INSERT_FOR_EVER = """
import sys, uuid
from datetime import UTC, datetime
from pathlib import Path
from moonmind_appliance.models import Actor, Run
from moonmind_appliance.store import Store

store = Store.open(Path(sys.argv[1]))
while True:
    run = Run(run_id=str(uuid.uuid4()), repository="a/b", specify_text="x" * 5000, accepted_at=datetime.now(UTC),
              created_by=Actor("local:ann", "ann"))
    print(store.runs.insert(run).run_id, flush=True)
"""


def test_settings(store: Store) -> None:
    """The file is in WAL, commits are fully synced, foreign keys are enforced, and a busy file is waited for."""
    with store.database.read() as connection:
        pragmas = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 15000}


def test_private(store: Store, data_dir: Path) -> None:
    """The folder is 0700 and every file in it 0600."""
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in data_dir.iterdir()} == {
        "appliance.db": 0o600,
        "appliance.db-wal": 0o600,
        "appliance.db-shm": 0o600,
    }


def test_write_is_all_or_nothing(store: Store, make_run: Callable[..., Run]) -> None:
    """If the body of a write raises, all of it is rolled back, and the exception is passed on unchanged."""
    run = store.runs.insert(make_run())

    def work() -> None:
        with store.database.write() as connection:
            connection.execute("UPDATE runs SET branch_name = 'x'")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert store.runs.get(run.run_id) == run
    store.events.add("still.writable")


def test_read_is_one_snapshot(store: Store, make_run: Callable[..., Run]) -> None:
    """A commit of another thread is not visible inside a read, but in the next one."""
    with store.database.read() as connection:
        before = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
        thread = threading.Thread(target=store.runs.insert, args=(make_run(),))
        thread.start()
        thread.join()
        inside = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    with store.database.read() as connection:
        after = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    assert (before, inside, after) == (0, 0, 1)


def test_many_writers(store: Store, data_dir: Path) -> None:
    """Threads with two stores on one file write in parallel without an error or a loss."""
    other = Store.open(data_dir)
    errors: list[Exception] = []

    def work(mine: Store) -> None:
        try:
            for _ in range(25):
                mine.events.add("tick")
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in (store, other) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert errors == []
    assert len(store.events.after(0, limit=1000)) == 200


@pytest.mark.parametrize("seconds", [0.15, 0.3, 0.6])
def test_kill(data_dir: Path, in_process: Callable[..., "subprocess.Popen[str]"], seconds: float) -> None:
    """A run that `insert` returned is complete after kill -9; no run is incomplete."""
    child = in_process(_INSERT_FOR_EVER)
    assert child.stdout is not None
    promised = [child.stdout.readline().strip()]
    time.sleep(seconds)
    child.kill()
    promised += child.stdout.read().split()
    child.communicate()
    store = Store.open(data_dir)
    kept = {run.run_id: run for run in store.run_lists.queued()}
    # The kill may cut the last line; the last run may be stored but not printed.
    told = {run_id for run_id in promised if len(run_id) == 36}
    assert told <= kept.keys()
    assert len(kept) - len(told) <= 1
    with store.database.read() as connection:
        phases = {row["run_id"]: row[1] for row in connection.execute("SELECT run_id, count(*) FROM phases GROUP BY 1")}
    assert phases == dict.fromkeys(kept, 9)
    queued = {event.run_id for event in store.events.after(0, limit=100_000) if event.kind == "run.queued"}
    assert queued == kept.keys()
    with store.database.read() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    store.close()


def test_full_disk(store: Store, make_run: Callable[..., Run]) -> None:
    """The error names a full disk and what to do; stored data stay readable, and writes work after space is freed."""
    first = store.runs.insert(make_run())
    with store.database.read() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="no space left on the disk") as refusal:
        store.runs.insert(make_run(specify_text="x" * 200_000))
    assert "Free space" in refusal.value.hint
    assert [run.run_id for run in store.run_lists.queued()] == [first.run_id]
    with store.database.read() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    store.runs.insert(make_run(specify_text="x" * 200_000))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"this is no database at all, not in the least" * 200, "not an SQLite database"), (None, "cannot be opened")],
)
def test_unusable_file(data_dir: Path, content: bytes | None, words: str) -> None:
    """The error for a file that is not a database or cannot be opened has path and next step; the file is unchanged."""
    data_dir.mkdir()
    file = data_dir / "appliance.db"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(StoreError, match=words) as refusal:
        Store.open(data_dir)
    assert str(file) in refusal.value.message
    assert refusal.value.hint
    assert content is None or file.read_bytes() == content


def test_damaged_file(store: Store, data_dir: Path, make_run: Callable[..., Run]) -> None:
    """The error for a damaged file says so, and points to the backups."""
    for _ in range(50):
        store.runs.insert(make_run(specify_text="x" * 5000))
    store.close()
    file = data_dir / "appliance.db"
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    file.write_bytes(content)
    damaged = Database(file)

    def look() -> None:
        with damaged.read() as connection:
            connection.execute("SELECT * FROM runs").fetchall()

    with pytest.raises(StoreError, match="damaged") as refusal:
        look()
    assert "backups" in refusal.value.hint
    damaged.close()


def test_read_only(store: Store, data_dir: Path) -> None:
    """A read-only database can be read, and a write reports why it fails."""
    store.close()
    locked = Database(data_dir / "appliance.db")
    with locked.read() as connection:
        connection.execute("PRAGMA query_only = ON")
        assert connection.execute("SELECT count(*) FROM runs").fetchone()[0] == 0
    with pytest.raises(StoreError, match="read-only") as refusal:
        Store(locked).events.add("x")
    assert "writable" in refusal.value.hint
    locked.close()


def test_busy_file(store: Store, data_dir: Path) -> None:
    """The error for a file that stays locked says what to look for."""
    holder = sqlite3.connect(data_dir / "appliance.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    database = Database(data_dir / "appliance.db", busy_seconds=0.05)
    with pytest.raises(StoreError, match="held a lock for too long") as refusal:
        Store(database).events.add("x")
    assert "has the file open" in refusal.value.hint
    holder.close()
    Store(database).events.add("x")
    database.close()


def test_the_waits_of_threads_for_a_busy_file_do_not_add_up(store: Store, data_dir: Path) -> None:
    """The threads take turns to write; while another process holds the lock, each gives up after its own wait."""
    holder = sqlite3.connect(data_dir / "appliance.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    database = Database(data_dir / "appliance.db", busy_seconds=0.5)
    errors = []

    def work() -> None:
        try:
            Store(database).events.add("x")
        except DatabaseUnusable as error:
            errors.append(error)

    began = time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 5
    assert len(errors) == len(threads)
    assert all("has the file open" in error.hint and error.temporary for error in errors)
    holder.close()
    Store(database).events.add("x")
    database.close()


def test_a_write_waits_for_this_processs_earlier_writes(store: Store, data_dir: Path) -> None:
    """Not for longer than for another process; the error does not claim that there is one."""
    database = Database(data_dir / "appliance.db", busy_seconds=0.05)
    with ThreadPoolExecutor(1) as other:
        with database.write():
            with pytest.raises(DatabaseUnusable, match=r"earlier writes did not end within 0\.05 s") as refusal:
                other.submit(Store(database).events.add, "x").result()
            assert refusal.value.temporary
        other.submit(Store(database).events.add, "x").result()
    database.close()


def test_a_write_within_a_write_is_refused(store: Store) -> None:
    """At once, not after a wait for itself."""
    with (
        store.database.write(),
        pytest.raises(StoreError, match="within a transaction"),
        store.database.write(),
    ):
        pass
    store.events.add("still.writable")


def test_a_thread_waits_longer_within_long_wait(store: Store, data_dir: Path) -> None:
    """Another thread of the same database does not, and neither does this one afterwards."""
    holder = sqlite3.connect(data_dir / "appliance.db", isolation_level=None, check_same_thread=False)
    database = Database(data_dir / "appliance.db", busy_seconds=0.05)
    with database.long_wait():
        holder.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, holder.execute, ["COMMIT"]).start()
        Store(database).events.add("x")
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="held a lock for too long"):
        Store(database).events.add("x")
    holder.close()
    database.close()


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """The error for a data folder that cannot be created names the setting."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be created") as refusal:
        Store.open(tmp_path / "file" / "data")
    assert "MOONMIND_DATA_DIR" in refusal.value.hint


def test_appliance_id(store: Store, data_dir: Path, tmp_path: Path) -> None:
    """The id belongs to the database: it is the same at every opening, and different for another database."""
    again, other = Store.open(data_dir), Store.open(tmp_path / "other")
    assert again.appliance_id == store.appliance_id != other.appliance_id
    assert len(store.appliance_id) == 36
    again.close()
    other.close()


def test_a_removed_file_is_not_written_any_more(store: Store, data_dir: Path) -> None:
    """SQLite would write on to the removed file, and everything accepted from then on would be lost at the end."""
    store.events.add("before")
    moved = data_dir.with_name("moved")
    data_dir.rename(moved)
    errors: list[str] = []

    def write() -> None:
        with pytest.raises(StoreError, match="was removed or replaced while it was in use") as refusal:
            store.events.add("lost")
        errors.append(refusal.value.hint)

    write()
    # A new thread opens a new connection.
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert len(errors) == 2
    assert all(errors)
    assert not data_dir.exists()
    moved.rename(data_dir)
    store.events.add("after")
    assert [event.kind for event in store.events.after(0)] == ["before", "after"]


def test_a_replaced_file_is_not_written(store: Store, data_dir: Path) -> None:
    """Such as a backup that was copied into place while the appliance runs."""
    (data_dir / "appliance.db").rename(data_dir / "old.db")
    (data_dir / "appliance.db").touch()
    with pytest.raises(StoreError, match="was removed or replaced"):
        store.events.add("lost")
    assert (data_dir / "appliance.db").read_bytes() == b""


def test_text_that_is_not_utf8_hides_no_other_row(store: Store, make_run: Callable[..., Run]) -> None:
    """The row that contains it is unreadable; the other one is listed."""
    damaged, good = store.runs.insert(make_run()), store.runs.insert(make_run())
    with store.database.write() as connection:
        connection.execute("UPDATE runs SET repository = CAST(x'61ff' AS TEXT) WHERE run_id = ?", (damaged.run_id,))
    assert [run.run_id for run in store.run_lists.queued()] == [good.run_id]
    with pytest.raises(UnreadableRow, match=damaged.run_id):
        store.runs.get(damaged.run_id)


def test_damage_is_found_before_it_is_read(store: Store, data_dir: Path, make_run: Callable[..., Run]) -> None:
    """The check reads the whole file; SQLite's complaint and the next step are in the error."""
    for _ in range(20):
        store.runs.insert(make_run(specify_text="x" * 5000))
    store.database.check()
    store.close()
    file = data_dir / "appliance.db"
    content = bytearray(file.read_bytes())
    content[-8192:] = b"\xa5" * 8192
    file.write_bytes(content)
    damaged = Database(file)
    damaged.migrate()
    with pytest.raises(DatabaseUnusable, match="the file is damaged") as refusal:
        damaged.check()
    assert "restore" in refusal.value.hint
    damaged.close()
