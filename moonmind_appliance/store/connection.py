"""The way into the database: a connection a thread, and what SQLite's errors mean."""

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from moonmind_appliance.errors import StoreError
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.store.migrations import MIGRATIONS, Migration, apply
from moonmind_appliance.store.redacting import RedactingConnection

OLDEST_SQLITE = (3, 37, 0)  # STRICT tables; RETURNING came two versions before

_BUSY_SECONDS = 15.0

# Primary result codes, https://www.sqlite.org/rescode.html: what they mean to an operator, and what to do.
_MEANINGS: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: (
        "no space left on the disk",
        "Free space on the data folder's disk. No partial data was written.",
    ),
    sqlite3.SQLITE_READONLY: (
        "it is read-only",
        "Check that the disk is mounted writable and that this user owns the data folder.",
    ),
    sqlite3.SQLITE_PERM: ("access is denied", "Run as the user that owns the data folder."),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened",
        "Check that the data folder exists, that this user can write to it, and that its disk is not read-only.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "the file is damaged",
        "Stop the appliance, move the file away, and restore a copy from the backups folder.",
    ),
    sqlite3.SQLITE_NOTADB: (
        "the file is not an SQLite database",
        "Stop the appliance, move the file away, and restore a copy from the backups folder.",
    ),
    sqlite3.SQLITE_BUSY: (
        "another process held a lock for too long",
        "Find the process that has the file open, such as a backup or an SQLite shell; then try again.",
    ),
    sqlite3.SQLITE_IOERR: ("the disk reported an error", "Check the disk and the kernel's log."),
}


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """What a SQLite error means, in our words; SQLite's own stand beside."""
    code = getattr(error, "sqlite_errorcode", None)
    what, hint = _MEANINGS.get((code or 0) & 0xFF, ("SQLite failed", ""))
    return StoreError(f"Database {path}: {what} ({error}).", hint=hint)


def _end(connection: sqlite3.Connection, how: str) -> None:
    # After some errors, a full disk among them, SQLite has rolled back by itself.
    if connection.in_transaction:
        connection.execute(how)


class _Connection:
    """One thread's connection. It closes with its thread: nothing else keeps it."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw
        # Held while the connection is used, so that `Database.close` never pulls it away in mid-statement.
        self.used = threading.RLock()
        weakref.finalize(self, raw.close)


class Database:
    """A SQLite file, in WAL, shared by many threads and processes.

    Opens lazily, a connection a thread; a thread that ends closes its own. Safe in parallel: everything.

    Args:
        path: the file; it is made, readable by its owner only, when it is missing.
        redact: takes secrets out of a text before it is written; None: those that are known by their form.
        busy_seconds: how long one waits for another's write to end.
    """

    def __init__(
        self, path: Path, *, redact: Callable[[str], str] | None = None, busy_seconds: float = _BUSY_SECONDS
    ) -> None:
        self.path = path
        self.redact = redact or Redactor().redact_text
        self._busy_seconds = busy_seconds
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._closed = False

    def migrate(self, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        """Bring the tables up to this code, after a backup into the folder `backups` beside the file.

        Safe twice, and from several processes at once.

        Raises:
            StoreError: the database is newer than this code, or cannot be used.
        """
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            wanted = ".".join(map(str, OLDEST_SQLITE))
            raise StoreError(
                f"SQLite {sqlite3.sqlite_version} is too old.",
                hint=f"Use a Python with SQLite {wanted} or newer.",
            )
        with self._use() as connection:
            apply(connection, self.path, migrations)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One snapshot for several SELECTs; inside a `write` of this thread it is that transaction.

        Raises:
            StoreError: SQLite's error in the operator's words.
        """
        with self._use() as connection:
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                _end(connection, "COMMIT")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction that has the write lock from its start; on disk once this returns, undone if it raises.

        Raises:
            StoreError: SQLite's error in the operator's words.
        """
        with self._use() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                _end(connection, "ROLLBACK")

    def close(self) -> None:
        """Close every thread's connection, after the statement in hand. Safe twice; nothing opens it again."""
        with self._lock:
            self._closed = True
            connections = list(self._open)
        for connection in connections:
            with connection.used:
                connection.raw.close()

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        with self._lock:
            return 0 if self._closed else len(self._open)

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        mine: _Connection | None = getattr(self._local, "connection", None)
        try:
            if mine is None:
                mine = self._local.connection = self._connect()
            with mine.used:
                yield mine.raw
        except sqlite3.Error as error:
            if self._closed:
                raise StoreError(f"Database {self.path} is closed.") from error
            raise store_error(error, self.path) from error

    def _connect(self) -> _Connection:
        if self._closed:
            raise StoreError(f"Database {self.path} is closed.")
        # Private from its first moment; SQLite gives the WAL and the shared memory the same mode. Not by opening it:
        # closing it again would drop the locks that other connections of this process have on it
        # (https://www.sqlite.org/howtocorrupt.html, 2.2). What hinders it, SQLite will meet too and say.
        with suppress(OSError):
            os.mknod(self.path, 0o600)
        raw = sqlite3.connect(
            self.path,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            factory=RedactingConnection,
        )
        raw.redact = self.redact
        connection = _Connection(raw)
        raw.row_factory = sqlite3.Row
        # SQLite's own lower() knows ASCII only.
        raw.create_function("casefold", 1, str.casefold, deterministic=True)
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute("PRAGMA synchronous = FULL")
        if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            raw.execute("PRAGMA journal_mode = WAL")
        with self._lock:
            self._open.add(connection)
        return connection
