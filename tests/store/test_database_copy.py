"""A copy of a database is the state of one moment, whatever others write meanwhile."""

import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import Run
from moonmind_appliance.store import Store
from moonmind_appliance.store import database_copy as module
from moonmind_appliance.store.database_copy import (
    artifact_paths,
    artifact_row,
    copy_database,
    copy_error,
    copy_of,
    damage,
    facts_of,
    open_database,
    statistics,
)
from moonmind_appliance.store.migrations import MIGRATIONS


def database_of(data_dir: Path) -> Path:
    return data_dir / "appliance.db"


def quiet(_done: int, _total: int) -> None:
    """Show no progress."""


def test_a_copy_is_one_file_with_everything_that_was_committed(
    store: Store, data_dir: Path, tmp_path: Path, make_run: Callable[..., Run]
) -> None:
    """Also what is still in the write-ahead log; it is private, and needs no other file."""
    run = store.runs.insert(make_run())
    target = tmp_path / "copy.db"
    facts = copy_of(database_of(data_dir), target, quiet)
    assert facts.appliance_id == store.appliance_id
    assert facts.migrations == [step.__name__ for step in MIGRATIONS]
    assert (facts.rows["runs"], facts.rows["phases"]) == (1, 9)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("copy")] == ["copy.db"]
    with open_database(target) as copy:
        assert copy.execute("SELECT run_id FROM runs").fetchone()[0] == run.run_id
        assert copy.execute("PRAGMA journal_mode").fetchone()[0] == "delete"


def test_writers_are_not_blocked_and_do_not_make_the_copy_begin_again(
    store: Store, data_dir: Path, tmp_path: Path, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step of the copy is followed by a write of another connection: the copy has none of them, and ends."""
    for _ in range(20):
        store.runs.insert(make_run(specify_text="x" * 20_000))
    monkeypatch.setattr(module, "_PAGES_AT_ONCE", 10)
    steps: list[int] = []

    def write(done: int, total: int) -> None:
        steps.append(done)
        thread = threading.Thread(target=lambda: store.runs.insert(make_run()))
        thread.start()
        thread.join()

    facts = copy_of(database_of(data_dir), tmp_path / "copy.db", write)
    assert len(steps) > 5
    assert steps == sorted(steps)
    assert facts.rows["runs"] == 20
    assert len(store.run_lists.queued()) == 20 + len(steps)


def test_a_copy_never_replaces_a_file(store: Store, data_dir: Path, tmp_path: Path) -> None:
    """Nor follows a link."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="cannot be copied"):
        copy_of(database_of(data_dir), tmp_path / "link", quiet)
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_is_named(store: Store, data_dir: Path, tmp_path: Path) -> None:
    """SQLite reports the copy's disk as full: the message names the copy, not the database."""

    def full(_done: int, _total: int) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with pytest.raises(StoreError, match=r"copy\.db cannot be written: no space left"):
        copy_of(database_of(data_dir), tmp_path / "copy.db", full)


@pytest.mark.parametrize(
    ("code", "path", "message"),
    [
        (sqlite3.SQLITE_FULL, "/tmp/x.db", "/backups/y.db cannot be written: no space left on the disk."),  # noqa: S108
        # This file system has no free bytes.
        (sqlite3.SQLITE_IOERR, "/proc/x.db", "Database /proc/x.db cannot be read: no space left on the disk (broken)."),
        (sqlite3.SQLITE_IOERR, "/x.db", "Database /x.db cannot be copied to /backups/y.db: broken."),
    ],
)
def test_the_full_disk_is_named(code: int, path: str, message: str) -> None:
    """That of the copy, or that of the database, which SQLite cannot open without some bytes for its own files."""
    error = sqlite3.OperationalError("broken")
    error.sqlite_errorcode = code
    assert copy_error(error, Path(path), Path("/backups/y.db")).message == message


def test_a_damaged_database_is_not_backed_up(
    store: Store, data_dir: Path, tmp_path: Path, make_run: Callable[..., Run]
) -> None:
    """A copy of it would only look like a backup."""
    for _ in range(50):
        store.runs.insert(make_run(specify_text="x" * 5000))
    store.close()
    path = database_of(data_dir)
    content = bytearray(path.read_bytes())
    for place in range(4096 * 20, 4096 * 60):
        content[place] = 0xFF
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged|malformed"):
        copy_of(path, tmp_path / "copy.db", quiet)


def test_reading_changes_nothing_and_creates_nothing(store: Store, data_dir: Path, tmp_path: Path) -> None:
    """A missing database is not created; an old one is not migrated."""
    with pytest.raises(StoreError, match="no database"), open_database(tmp_path / "absent.db"):
        pass
    assert not (tmp_path / "absent.db").exists()
    with pytest.raises(StoreError, match="readonly"), open_database(database_of(data_dir)) as connection:
        connection.execute("DELETE FROM runs")


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DROP TABLE migrations", "not the database of an appliance"),
        ("DELETE FROM appliance", "no appliance id"),
        ("CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM tokens; END", "triggers"),
        ("CREATE VIEW v AS SELECT 1", "views"),
        ("CREATE VIRTUAL TABLE f USING fts5(x)", "virtual tables"),
    ],
)
def test_a_strange_database_is_refused(store: Store, data_dir: Path, statement: str, problem: str) -> None:
    """A trigger would run its author's code at the next write."""
    with store.database.write() as connection:
        connection.execute(statement)
    with pytest.raises(StoreError, match=problem), open_database(database_of(data_dir)) as connection:
        facts_of(connection)


def test_figures_contain_no_text_of_a_run(store: Store, data_dir: Path, make_run: Callable[..., Run]) -> None:
    """Counts, sizes, and SQLite's own check."""
    store.runs.insert(make_run(specify_text="private words"))
    with open_database(database_of(data_dir)) as connection:
        found = statistics(connection)
    assert (found["quick_check"], found["runs_by_status"], found["journal_mode"]) == (["ok"], {"queued": 1}, "wal")
    assert "private" not in str(found)


def test_an_index_that_does_not_fit_its_table_is_damage(store: Store, data_dir: Path) -> None:
    """Only the thorough check sees it."""
    with store.database.write() as connection:
        connection.execute("INSERT INTO shards VALUES (1, '{}')")
        connection.execute("CREATE INDEX i ON shards (state)")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON shards (shard)' WHERE name = 'i'")
    store.close()
    with open_database(database_of(data_dir)) as connection:
        assert damage(connection, thorough=True)


def test_artifacts_are_found_by_run_and_name(store: Store, data_dir: Path, make_run: Callable[..., Run]) -> None:
    """With their storage path, size and hash."""
    run = store.runs.insert(make_run())
    with store.database.write() as connection:
        connection.execute(
            "INSERT INTO artifacts VALUES ('a', ?, 'log', 'stdout_log', 'runs/x', 't', 3, 'h', 'cleanup', '', NULL)",
            (run.run_id,),
        )
    with open_database(database_of(data_dir)) as connection:
        assert list(artifact_paths(connection)) == ["runs/x"]
        assert artifact_row(connection, run.run_id, "log") == ("runs/x", 3, "h")
        assert artifact_row(connection, run.run_id, "other") is None


def test_the_copy_of_a_connection_needs_a_new_file(store: Store, tmp_path: Path) -> None:
    """The migrations use it with their own connection."""
    target = tmp_path / "copy.db"
    target.touch()
    with store.database.read() as connection, pytest.raises(FileExistsError):
        copy_database(connection, target)


def test_a_path_that_cannot_be_examined_is_named(tmp_path: Path) -> None:
    """As in a folder of another user; here its name is too long for the file system."""
    path = tmp_path / ("x" * 300) / "appliance.db"
    with pytest.raises(StoreError, match=r"appliance\.db cannot be used: File name too long"):
        module.check_exists(path)
