"""Database access: one connection per thread, and SQLite's errors in terms that operators know."""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path

from moonmind_appliance.errors import DatabaseUnusable, StoreError
from moonmind_appliance.store.database_copy import disk_is_full
from moonmind_appliance.store.event_log import log_events
from moonmind_appliance.store.migrations import MIGRATIONS, Migration, apply
from moonmind_appliance.store.redacting import RedactingConnection

OLDEST_SQLITE = (3, 37, 0)  # STRICT tables; RETURNING came two versions before

_BUSY_SECONDS = 15.0
# Longest wait for running statements when the process stops.
_CLOSE_SECONDS = 3.0
_LONG_WAIT_SECONDS = 600.0
# Each thread has its own connection; the operating system caches the file for all of them. A prepared statement
# takes 5 to 15 KiB.
_CACHE_KIB = 256
_CACHED_STATEMENTS = 32
# A wait for the turn that is not subtracted: the two statements that would do it take longer than most commits.
_NO_WAIT_SECONDS = 0.05
_SHORT_WAIT_SECONDS = 0.25

_RESTORE = (
    "Stop the appliance, move the file away together with -wal and -shm, and restore a backup or a copy from the "
    "backups folder; docs/backup.md says how."
)

# Primary result codes (https://www.sqlite.org/rescode.html): their meaning for an operator, and what to do.
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
        _RESTORE,
    ),
    sqlite3.SQLITE_NOTADB: (
        "the file is not an SQLite database",
        _RESTORE,
    ),
    sqlite3.SQLITE_BUSY: (
        "another process held a lock for too long",
        "Find the process that has the file open, such as a backup or an SQLite shell; then try again.",
    ),
    sqlite3.SQLITE_IOERR: ("the disk reported an error", "Check the disk and the kernel's log."),
}

_TEMPORARY = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_IOERR,
    }
)

# What SQLite reports if its own files, such as the shared memory, cannot grow.
_MAY_MEAN_FULL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Convert a SQLite error; the message includes SQLite's own."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = (code or 0) & 0xFF
    if primary in _MAY_MEAN_FULL and disk_is_full(path):
        primary = sqlite3.SQLITE_FULL
    if primary not in _MEANINGS:
        return StoreError(f"Database {path}: SQLite failed ({error}).")
    what, hint = _MEANINGS[primary]
    return DatabaseUnusable(f"Database {path}: {what} ({error}).", hint=hint, temporary=primary in _TEMPORARY)


def _end(connection: sqlite3.Connection, how: str) -> None:
    # After some errors, such as a full disk, SQLite has already rolled back.
    if connection.in_transaction:
        connection.execute(how)


@cache
def _by_shape() -> Callable[[str], str]:
    # The redactor's patterns take a tenth of a short command's time, and only a write needs them.
    from moonmind_appliance.redaction import Redactor  # noqa: PLC0415 - see above

    return Redactor().redact_text


def _redact_shapes(text: str) -> str:
    return _by_shape()(text)


class _Connection:
    """One thread's connection. It is closed when its thread ends, as only the thread references it."""

    def __init__(self, raw: RedactingConnection) -> None:
        self.raw = raw
        # Locked while the connection is used, so that `Database.close` does not close it during a statement.
        self.used = threading.RLock()
        self.used_at = time.monotonic()
        self.is_closed = False
        # Not at the end of the process: that would wait for a thread that waits for another program's lock.
        weakref.finalize(self, raw.close).atexit = False

    def close(self) -> None:
        """Close it; the caller has locked `used`. May be called again."""
        self.is_closed = True
        self.raw.close()


class Database:
    """A SQLite file in WAL mode, shared by many threads and processes.

    Opens one connection per thread, when first needed, and closes it when the thread ends or by `close_unused`. All
    methods are thread-safe.

    Args:
        path: the file; created, readable by its owner only, if it is missing.
        redact: removes secrets from a text before it is written; None: only those recognised by their shape.
        busy_seconds: how long to wait for another connection's write to end.
    """

    def __init__(
        self, path: Path, *, redact: Callable[[str], str] | None = None, busy_seconds: float = _BUSY_SECONDS
    ) -> None:
        self.path = path
        self.redact = redact or _redact_shapes
        self._busy_seconds = busy_seconds
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._closed = False
        # Reentrant, so that SQLite refuses a write within a write.
        self._turn = threading.RLock()
        self._file: tuple[int, int] | None = None

    def migrate(self, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        """Migrate the tables, after a backup into the folder `backups` next to the file.

        Idempotent, and safe from several processes at once.

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
            StoreError: SQLite's error in operator's terms.
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
    def write(self) -> Iterator[RedactingConnection]:
        """One transaction with the write lock from its start; on disk when the block ends, rolled back if it raises.

        The events that it recorded are logged after the commit, those of a rollback are not.

        Raises:
            StoreError: SQLite's error in operator's terms.
        """
        with self._use() as connection:
            self._check_file()
            with self._turn_to_write(connection):
                recorded = connection.recorded = []
                try:
                    yield connection
                    connection.execute("COMMIT")
                finally:
                    _end(connection, "ROLLBACK")
        log_events(recorded)

    @contextmanager
    def _turn_to_write(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Begin a transaction. SQLite gives its lock in no order, so that of many threads some would wait too long.

        The threads of this process take turns. The waits for the turn and for other processes do not add up.
        """
        seconds = self._wait_seconds
        began = time.monotonic()
        if not self._turn.acquire(timeout=seconds):
            raise DatabaseUnusable(
                f"Database {self.path}: earlier writes did not end within {seconds:g} s.",
                hint="If another process has the file open, such as a backup or an SQLite shell, end it. Otherwise "
                "check the disk and the machine's load. Then try again.",
                temporary=True,
            )
        try:
            waited = time.monotonic() - began
            if waited < _NO_WAIT_SECONDS:
                connection.execute("BEGIN IMMEDIATE")
            else:
                self._set_busy_timeout(connection, max(0.0, seconds - waited))
                try:
                    connection.execute("BEGIN IMMEDIATE")
                finally:
                    self._set_busy_timeout(connection, seconds)
            yield
        finally:
            self._turn.release()

    def check(self) -> None:
        """Search the whole file for damage. Reads all of it: about a second for each gigabyte.

        Raises:
            DatabaseUnusable: it is damaged; the message has SQLite's first complaint.
        """
        with self.read() as connection:
            found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if found != "ok":
            complaint = " ".join(found.split())
            raise DatabaseUnusable(f"Database {self.path}: the file is damaged ({complaint}).", hint=_RESTORE)

    @contextmanager
    def long_wait(self) -> Iterator[None]:
        """Within this block the thread waits up to ten minutes until another connection's write ends.

        For work that is expensive to repeat and for which no caller waits.
        """
        with self._wait_for(_LONG_WAIT_SECONDS):
            yield

    @contextmanager
    def short_wait(self) -> Iterator[None]:
        """Within this block the thread waits a quarter of a second until another connection's write ends.

        For work that may be left out.
        """
        with self._wait_for(_SHORT_WAIT_SECONDS):
            yield

    @contextmanager
    def _wait_for(self, seconds: float) -> Iterator[None]:
        with self._use() as connection:
            self._set_busy_timeout(connection, seconds)
        self._local.wait_seconds = seconds
        try:
            yield
        finally:
            del self._local.wait_seconds
            with self._use() as connection:
                self._set_busy_timeout(connection, self._busy_seconds)

    @property
    def _wait_seconds(self) -> float:
        """How long this thread waits until another connection's write ends."""
        return float(getattr(self._local, "wait_seconds", self._busy_seconds))

    @staticmethod
    def _set_busy_timeout(connection: sqlite3.Connection, seconds: float) -> None:
        connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def close(self) -> None:
        """Close every thread's connection after its running statement. Idempotent; the database cannot be reopened.

        A statement that waits for another program's lock is not waited for: its connection ends with the process.
        """
        with self._lock:
            self._closed = True
            connections = list(self._open)
        give_up_at = time.monotonic() + _CLOSE_SECONDS
        for connection in connections:
            if connection.used.acquire(timeout=max(0.0, give_up_at - time.monotonic())):
                try:
                    connection.close()
                finally:
                    connection.used.release()

    def close_unused(self, seconds: float) -> int:
        """Close the connections that their threads have not used for so long; returns how many.

        A connection keeps half a megabyte of statements and pages. Its thread opens another one when it needs it.
        """
        with self._lock:
            connections = list(self._open)
        closed = 0
        for connection in connections:
            if not connection.used.acquire(blocking=False):
                continue
            try:
                if time.monotonic() - connection.used_at >= seconds:
                    connection.close()
                    with self._lock:
                        self._open.discard(connection)
                    closed += 1
            finally:
                connection.used.release()
        return closed

    @property
    def connections(self) -> int:
        """The number of open connections."""
        with self._lock:
            return 0 if self._closed else len(self._open)

    @contextmanager
    def _use(self) -> Iterator[RedactingConnection]:
        try:
            mine = self._lock_own()
            try:
                if self._closed:
                    raise StoreError(f"Database {self.path} is closed.")
                yield mine.raw
            finally:
                mine.used_at = time.monotonic()
                mine.used.release()
        except sqlite3.Error as error:
            if self._closed:
                raise StoreError(f"Database {self.path} is closed.") from error
            raise store_error(error, self.path) from error

    def _lock_own(self) -> _Connection:
        """This thread's open connection, with `used` locked."""
        mine: _Connection | None = getattr(self._local, "connection", None)
        while True:
            if mine is not None:
                mine.used.acquire()
                if self._closed or not mine.is_closed:
                    return mine
                mine.used.release()
            mine = self._local.connection = self._connect()

    def _connect(self) -> _Connection:
        if self._closed:
            raise StoreError(f"Database {self.path} is closed.")
        self._check_file()
        # Private from its creation; SQLite gives the WAL and the shared memory the same mode. `mknod` and not `open`:
        # closing the file would drop the locks that other connections of this process have on it
        # (https://www.sqlite.org/howtocorrupt.html, 2.2). SQLite itself will report any error that occurs here.
        with suppress(OSError):
            os.mknod(self.path, 0o600)
        raw = sqlite3.connect(
            self.path,
            timeout=self._wait_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_CACHED_STATEMENTS,
            factory=RedactingConnection,
        )
        raw.redact = self.redact
        raw.recorded = []
        connection = _Connection(raw)
        raw.row_factory = sqlite3.Row
        # A damaged text must not prevent the reading of other rows; `rows.py` refuses the lone surrogates.
        raw.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
        # SQLite's own lower() handles ASCII only.
        raw.create_function("casefold", 1, str.casefold, deterministic=True)
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            raw.execute("PRAGMA journal_mode = WAL")
        with self._lock:
            self._file = self._file or file_identity(self.path)
            self._open.add(connection)
        return connection

    def _check_file(self) -> None:
        """Raise if the file was removed or replaced since it was opened: SQLite would still write to the old one."""
        if self._file is not None and file_identity(self.path) != self._file:
            raise DatabaseUnusable(
                f"Database {self.path} was removed or replaced while it was in use. Nothing is written any more.",
                hint="Put the file back, or restore it and restart the appliance; docs/backup.md says how.",
                temporary=True,
            )


def file_identity(path: Path) -> tuple[int, int] | None:
    """The file's device and inode; None if it cannot be found."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
