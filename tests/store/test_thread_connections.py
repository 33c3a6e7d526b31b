"""Each thread has a connection of its own: when it is opened and closed, and that the process keeps its locks."""

import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.store import Database, Store, connection


def test_a_threads_connection_ends_with_it(store: Store) -> None:
    """Ended threads leave no connection."""
    seen = []

    def work() -> None:
        store.runs.counts()
        seen.append(store.database.connections)

    for _ in range(20):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == [2] * 20
    assert store.database.connections == 1


def test_unused_connections_are_closed(store: Store) -> None:
    """Those of threads that live on, too; a thread that needs one again opens it and works as before."""
    opened, again = threading.Event(), threading.Event()
    found = []

    def work() -> None:
        store.runs.counts()
        opened.set()
        again.wait(10)
        store.events.add("later")
        found.append(store.runs.counts())

    store.runs.counts()
    thread = threading.Thread(target=work)
    thread.start()
    opened.wait(10)
    assert store.database.close_unused(60) == 0
    assert store.database.close_unused(0) == 2
    assert (store.database.connections, store.database.close_unused(0)) == (0, 0)
    again.set()
    thread.join()
    assert found == [store.runs.counts()]


def test_a_connection_in_use_is_not_closed(store: Store) -> None:
    """Not even within a transaction that does nothing for a while."""
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with store.database.write() as connection:
            inside.set()
            leave.wait(10)
            connection.execute("INSERT INTO appliance (key, value) VALUES ('kept', 'x')")

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    assert store.database.close_unused(0) == 1, "that of this thread"
    leave.set()
    thread.join()
    with store.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM appliance WHERE key = 'kept'").fetchone()[0] == 1


def test_a_connection_that_is_opened_again_waits_as_the_closed_one(store: Store, data_dir: Path) -> None:
    """Within `long_wait`."""
    holder = sqlite3.connect(data_dir / "appliance.db", isolation_level=None, check_same_thread=False)
    database = Database(data_dir / "appliance.db", busy_seconds=0.05)
    with database.long_wait():
        assert database.close_unused(0) == 1
        holder.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, holder.execute, ["COMMIT"]).start()
        Store(database).events.add("x")
    holder.close()
    database.close()


def test_close(store: Store) -> None:
    """Closing closes other threads' connections, too, is safe twice, and is final."""
    opened, closed = threading.Event(), threading.Event()
    errors = []

    def work() -> None:
        store.runs.counts()
        opened.set()
        closed.wait(10)
        try:
            store.runs.counts()
        except StoreError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    opened.wait(10)
    store.close()
    store.close()
    closed.set()
    thread.join()
    assert len(errors) == 1
    assert "is closed" in errors[0]
    with pytest.raises(StoreError, match="is closed"):
        store.runs.counts()


def test_close_does_not_wait_for_a_statement_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may wait ten minutes for another program's lock; a stop of the process must not."""
    monkeypatch.setattr(connection, "_CLOSE_SECONDS", 0.1)
    uses, closed = threading.Event(), threading.Event()
    errors = []

    def work() -> None:
        try:
            with store.database.read():
                uses.set()
                closed.wait(60)
            store.runs.counts()
        except StoreError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    uses.wait(60)
    store.close()
    assert not closed.is_set()
    closed.set()
    thread.join()
    assert "is closed" in errors[0]


def test_locks_stay(store: Store, data_dir: Path, in_process: Callable[..., "subprocess.Popen[str]"]) -> None:
    """A new thread's connection keeps the process's locks: no other process believes to be the last one."""
    store.events.add("ours")
    thread = threading.Thread(target=store.runs.counts)
    thread.start()
    thread.join()
    before = (data_dir / "appliance.db-wal").stat().st_ino
    other = in_process(
        "import sys; from pathlib import Path; from moonmind_appliance.store import Store;"
        "store = Store.open(Path(sys.argv[1])); store.events.add('theirs'); store.close()"
    )
    other.communicate()
    assert other.returncode == 0
    assert (data_dir / "appliance.db-wal").stat().st_ino == before
    assert [event.kind for event in store.events.after(0)] == ["ours", "theirs"]
