"""Counts what the store asks of SQLite, on the connection of the calling thread."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from moonmind_appliance.store import Store


@dataclass
class Cost:
    """The statements, with BEGIN and COMMIT; and the rows and bytes of values that SQLite handed to Python."""

    sql: list[str] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0

    @property
    def statements(self) -> int:
        return len(self.sql)


@contextmanager
def counted(store: Store) -> Iterator[Cost]:
    """Count until the block ends, in this thread only. Rows that a statement reads inside SQLite are not counted."""
    cost = Cost()

    def count(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> sqlite3.Row:
        cost.rows += 1
        cost.bytes += sum(len(str(value).encode()) for value in row if value is not None)
        return sqlite3.Row(cursor, row)

    with store.database.read() as connection:
        pass
    before, connection.row_factory = connection.row_factory, count
    connection.set_trace_callback(cost.sql.append)
    try:
        yield cost
    finally:
        connection.set_trace_callback(None)
        connection.row_factory = before
