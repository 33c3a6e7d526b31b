"""SQLite storage: runs, artifacts, shards, events and tokens in one file."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from moonmind_appliance.store.artifacts import ArtifactStore
from moonmind_appliance.store.backlog import BacklogStore
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.counters import CounterStore
from moonmind_appliance.store.data_folder import check_database_exists, make_data_folder
from moonmind_appliance.store.drain import DrainStore
from moonmind_appliance.store.events import EventStore
from moonmind_appliance.store.lock import DataFolderLock
from moonmind_appliance.store.progress import RunProgress
from moonmind_appliance.store.queue import RunQueue
from moonmind_appliance.store.retention import RetentionStore
from moonmind_appliance.store.run_lists import RunHead, RunLists
from moonmind_appliance.store.run_rows import RunRows
from moonmind_appliance.store.runs import RunStore
from moonmind_appliance.store.shards import ShardStore
from moonmind_appliance.store.tokens import LocalToken, TokenStore
from moonmind_appliance.store.watch import NewEvents, Watch
from moonmind_appliance.store.webhooks import WebhookStore

__all__ = [
    "ArtifactStore",
    "BacklogStore",
    "CounterStore",
    "DataFolderLock",
    "Database",
    "DrainStore",
    "EventStore",
    "LocalToken",
    "NewEvents",
    "RetentionStore",
    "RunHead",
    "RunLists",
    "RunProgress",
    "RunQueue",
    "RunRows",
    "RunStore",
    "ShardStore",
    "Store",
    "TokenStore",
    "Watch",
    "WebhookStore",
    "make_data_folder",
]

DATABASE_NAME = "appliance.db"


class Store:
    """All tables of one database. Safe for concurrent use by threads and processes."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.runs = RunStore(database)
        self.queue = RunQueue(database)
        self.backlog = BacklogStore(database)
        self.progress = RunProgress(database)
        self.run_lists = RunLists(database)
        self.run_rows = RunRows(database)
        self.artifacts = ArtifactStore(database)
        self.shards = ShardStore(database)
        self.drain = DrainStore(database)
        self.events = EventStore(database)
        self.tokens = TokenStore(database)
        self.counters = CounterStore(database)
        self.retention = RetentionStore(database)
        self.webhooks = WebhookStore(database)

    @staticmethod
    def exists(data_dir: Path) -> bool:
        """Whether the data folder has a database, which `open` would create.

        Raises:
            StoreError: it had one, which was lost.
        """
        check_database_exists(data_dir, DATABASE_NAME)
        return (data_dir / DATABASE_NAME).exists()

    @classmethod
    def open(cls, data_dir: Path, *, redact: Callable[[str], str] | None = None) -> "Store":
        """Open `<data>/appliance.db` and migrate its tables. Idempotent.

        Every text is redacted before it is written: by `redact`, or without one by token shape only.

        Raises:
            StoreError: the folder or the file cannot be used; the error says why and what to do.
        """
        make_data_folder(data_dir)
        check_database_exists(data_dir, DATABASE_NAME)
        database = Database(data_dir / DATABASE_NAME, redact=redact)
        try:
            database.migrate()
        except BaseException:
            database.close()
            raise
        return cls(database)

    @cached_property
    def appliance_id(self) -> str:
        """The UUID created with the database: distinguishes this appliance's containers from another's."""
        with self.database.read() as connection:
            row = connection.execute("SELECT value FROM appliance WHERE key = 'appliance_id'").fetchone()
            return str(row["value"])

    def close(self) -> None:
        """Close the database. Idempotent."""
        self.database.close()
