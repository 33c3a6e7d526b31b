"""Consistent copies of a database that other connections write to, and what a database contains."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from moonmind_appliance.errors import StoreError

Progress = Callable[[int, int], None]
"""Receives what is done and what there is in all, in one unit."""

SQLITE_VERSION = sqlite3.sqlite_version

_BUSY_SECONDS = 15.0
_PAGES_AT_ONCE = 1000
_MOST_PROBLEMS = 10


class DatabaseFacts(msgspec.Struct, frozen=True):
    """What a database contains: its appliance, the migrations it had, and the number of rows by table."""

    appliance_id: str
    migrations: list[str]
    rows: dict[str, int]


def check_exists(path: Path) -> None:
    """Raise StoreError if there is no such database, or this user may not know it."""
    try:
        exists = path.is_file()
    except OSError as error:
        raise StoreError(
            f"Database {path} cannot be used: {error.strerror or error}.",
            hint="Check MOONMIND_DATA_DIR, and run this as the folder's owner.",
        ) from error
    if not exists:
        raise StoreError(
            f"There is no database {path}.", hint="Check MOONMIND_DATA_DIR, and run this as the folder's owner."
        )


@contextmanager
def open_database(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing: no migration, no new file.

    Raises:
        StoreError: there is no such file, or SQLite failed.
    """
    check_exists(path)
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
        )
        try:
            connection.execute("PRAGMA query_only = ON")
            # The file may come from an archive.
            connection.execute("PRAGMA trusted_schema = OFF")
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError(f"Database {path} cannot be read ({error}).") from error


def copy_database(connection: sqlite3.Connection, target: Path, progress: Progress = lambda *_: None) -> None:
    """Copy the state of this moment into a new file that only its owner can read; it needs no `-wal` file.

    In WAL mode writers are not blocked. All pages are read in one transaction, so that a write of another connection
    does not make SQLite copy again from the start (https://www.sqlite.org/c3ref/backup_finish.html).

    Args:
        connection: in autocommit mode.
        target: the new file, complete and on disk at the end.
        progress: called after each step with the pages copied and all pages.

    Raises:
        OSError: the file cannot be created.
        sqlite3.Error: SQLite failed, also if the disk is full.
    """
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        # Nothing is lost if the copy is not complete; the end of this function waits for the disk.
        copy.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        try:
            # The transaction begins with the first read.
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            connection.backup(
                copy, pages=_PAGES_AT_ONCE, progress=lambda _status, left, total: progress(total - left, total)
            )
        finally:
            connection.execute("ROLLBACK")
        copy.execute("PRAGMA journal_mode = DELETE")
    finally:
        copy.close()
    file = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def copy_of(path: Path, target: Path, progress: Progress) -> DatabaseFacts:
    """`copy_database` of a file that another process may write to; returns what the checked copy contains.

    Raises:
        StoreError: a file cannot be read or written, or the database is damaged.
    """
    with open_database(path) as connection:
        try:
            copy_database(connection, target, progress)
        except (OSError, sqlite3.Error) as error:
            raise copy_error(error, path, target) from error
    with open_database(target) as copy:
        if problems := damage(copy, thorough=False):
            raise StoreError(
                f"Database {path} is damaged: {'; '.join(problems)}.",
                hint="No backup was written. Restore the last backup, or a copy from the backups folder.",
            )
        return facts_of(copy)


def disk_is_full(path: Path) -> bool:
    """Whether the disk of this file has no byte or no file left."""
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail == 0 or (disk.f_files > 0 and disk.f_favail == 0)


def copy_error(error: OSError | sqlite3.Error, path: Path, target: Path) -> StoreError:
    """Convert an error of `copy_database`: the disk of either file may be full. Pure, but for a look at the disk."""
    if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF == sqlite3.SQLITE_FULL:
        return StoreError(f"{target} cannot be written: no space left on the disk.", hint="Choose another disk.")
    if isinstance(error, sqlite3.Error) and disk_is_full(path):
        # SQLite needs some bytes next to a file that no other process has open, also to read it.
        return StoreError(
            f"Database {path} cannot be read: no space left on the disk ({error}).",
            hint="Free space on the data folder's disk.",
        )
    return StoreError(f"Database {path} cannot be copied to {target}: {error}.")


def damage(connection: sqlite3.Connection, *, thorough: bool) -> list[str]:
    """SQLite's own check of the file; empty if it found nothing. `thorough` also compares indexes with tables."""
    check = "integrity_check" if thorough else "quick_check"
    found = [str(row[0]) for row in connection.execute(f"PRAGMA {check}({_MOST_PROBLEMS})")]
    return [] if found == ["ok"] else found


def facts_of(connection: sqlite3.Connection) -> DatabaseFacts:
    """What the database contains.

    Raises:
        StoreError: it is not a database of an appliance.
    """
    schema = connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
    tables = [row[1] for row in schema if row[0] == "table" and not row[1].startswith("sqlite_")]
    if not {"appliance", "migrations", "runs"} <= set(tables):
        raise StoreError("The file is not the database of an appliance.")
    # The appliance makes none of these. They would run code of the database's author.
    strange = [row[1] for row in schema if row[0] in {"trigger", "view"} or "VIRTUAL" in str(row[2]).upper()[:20]]
    if strange:
        raise StoreError(f"The database contains triggers, views or virtual tables: {', '.join(strange)[:200]}.")
    row = connection.execute("SELECT value FROM appliance WHERE key = 'appliance_id'").fetchone()
    if row is None:
        raise StoreError("The database has no appliance id.")
    return DatabaseFacts(
        appliance_id=str(row[0]),
        migrations=[str(row[0]) for row in connection.execute("SELECT name FROM migrations ORDER BY rowid")],
        rows={
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608 - quoted, below
            for name in sorted(tables)
            if '"' not in name
        },
    )


def statistics(connection: sqlite3.Connection) -> dict[str, Any]:
    """Figures about the database, for a bug report; no text of a run."""
    pragmas = ("page_size", "page_count", "freelist_count", "journal_mode", "user_version")
    return {
        **{name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas},
        "quick_check": damage(connection, thorough=False) or ["ok"],
        "migrations": [
            f"{name} at {at}" for name, at in connection.execute("SELECT name, applied_at FROM migrations ORDER BY 1")
        ],
        "rows": facts_of(connection).rows,
        "runs_by_status": dict(connection.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall()),
    }


def artifact_paths(connection: sqlite3.Connection) -> Iterator[str]:
    """The storage paths of all artifacts, by run."""
    for row in connection.execute("SELECT storage_path FROM artifacts ORDER BY run_id, name"):
        yield str(row[0])


def artifact_row(connection: sqlite3.Connection, run_id: str, name: str) -> tuple[str, int, str] | None:
    """Storage path, size and SHA-256 of the artifact with that name; None if there is no such row."""
    row = connection.execute(
        "SELECT storage_path, size_bytes, sha256 FROM artifacts WHERE run_id = ? AND name = ?", (run_id, name)
    ).fetchone()
    return None if row is None else (str(row[0]), int(row[1]), str(row[2]))
