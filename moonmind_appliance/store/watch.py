"""Detects cheaply that any process changed the database."""

import sqlite3
from typing import NamedTuple, Self

from moonmind_appliance.errors import StoreError
from moonmind_appliance.store.connection import Database, store_error


class NewEvents(NamedTuple):
    """The runs and shards that events after some id name. `last` is the newest id, or that id if there is none."""

    run_ids: frozenset[str]
    shards: frozenset[int]
    last: int


class Watch:
    """A separate connection that compares `PRAGMA data_version` (https://www.sqlite.org/pragma.html#pragma_data_version).

    SQLite changes that number when another connection, of this process or another, commits. For one thread at a time.

    Raises:
        StoreError: from every method, if the database cannot be read, or if its file was removed or replaced, which
            SQLite itself would not notice.
    """

    def __init__(self, database: Database) -> None:
        self._path = database.path
        try:
            self._connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
            )
            try:
                self._file = self._identity()
                self._version = self._data_version()
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def changed(self) -> bool:
        """Whether anything was committed since the last `new_events`, or since the start. Reads no table."""
        if self._identity() != self._file:
            raise StoreError(
                f"Database {self._path} was replaced by another file.",
                hint="Restart this program to use the new file.",
            )
        try:
            return self._data_version() != self._version
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error

    def new_events(self, after: int) -> NewEvents:
        """The runs and shards that events with a larger id than `after` name."""
        try:
            self._connection.execute("BEGIN")
            try:
                rows = self._connection.execute(
                    "SELECT run_id, shard, max(event_id) FROM events WHERE event_id > ? GROUP BY run_id, shard",
                    (after,),
                ).fetchall()
                # In the same snapshot, so that later commits count as a change again.
                self._version = self._data_version()
            finally:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error
        return NewEvents(
            frozenset(run_id for run_id, _, _ in rows if run_id is not None),
            frozenset(shard for _, shard, _ in rows if shard is not None),
            max((last for _, _, last in rows), default=after),
        )

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._connection.close()

    def _data_version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _identity(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise StoreError(
                f"Database {self._path} no longer exists ({error.strerror}).",
                hint="Check the data folder and its disk.",
            ) from error
        return found.st_dev, found.st_ino
