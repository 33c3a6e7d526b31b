"""A value that changes whenever anything in the database changes, read without ever waiting."""

import sqlite3

from moonmind_appliance.store.connection import Database, file_identity

Version = tuple[int, int]
"""Which connection, and a number that it read."""


class DataVersion:
    """A connection of its own for `PRAGMA data_version` (https://www.sqlite.org/pragma.html#pragma_data_version).

    SQLite changes that number when another connection, of this process or another, commits. To read it takes some
    microseconds and reads no table. For one thread at a time.
    """

    def __init__(self, database: Database) -> None:
        self._path = database.path
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        # The numbers of two connections cannot be compared.
        self._opened = 0
        self._seen: Version | None = None
        self._tokens: Version | None = None

    def now(self) -> Version | None:
        """Equal values of one object mean that nothing changed between. None if the number cannot be read at once.

        It cannot if another program locks the whole file, or if the file was removed or replaced.
        """
        if self._connection is not None and file_identity(self._path) != self._file:
            self.close()
        try:
            connection = self._connection or self._connect()
            return self._opened, int(connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            self.close()
            return None

    def of_tokens(self, version: Version | None) -> Version | None:
        """As `now`, but changes only when a token is made or revoked. None if it cannot be read at once.

        Args:
            version: what `now` returned last.
        """
        if version is None or self._connection is None:
            return None
        if version != self._seen:
            try:
                row = self._connection.execute("SELECT count(*) + count(revoked_at) FROM tokens").fetchone()
            except sqlite3.Error:
                self.close()
                return None
            self._seen, self._tokens = version, (self._opened, int(row[0]))
        return self._tokens

    def close(self) -> None:
        """Close the connection. Idempotent; the next `now` opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> sqlite3.Connection:
        # First: if the file is replaced in between, the next call notices.
        self._file = file_identity(self._path)
        self._connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0
        )
        self._opened += 1
        return self._connection
