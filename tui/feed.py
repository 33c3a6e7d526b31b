"""Posts messages about changes of the database, by any process; one thread waits for them."""

import threading

from textual.message import Message
from textual.message_pump import MessagePump

from moonmind_appliance.errors import StoreError
from moonmind_appliance.store import Store, Watch
from moonmind_appliance.views.changes import Change, changes, latest

_TRY_AGAIN_SECONDS = 2.0


class DataChanged(Message):
    """Something in the database changed."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change


class DataLost(Message):
    """The database cannot be read; the feed keeps trying."""

    def __init__(self, error: StoreError) -> None:
        super().__init__()
        self.error = error


class DataFound(Message):
    """The database can be read again."""


class Feed:
    """Posts `DataChanged`, `DataLost` and `DataFound` to its owner. `start` once; `stop` is idempotent."""

    def __init__(self, owner: MessagePump, store: Store) -> None:
        self._owner = owner
        self._store = store
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tui-feed", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, within a fraction of a second."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        since: int | None = None
        lost = False
        while not self._stop.is_set():
            try:
                since = latest(self._store) if since is None else since
                if lost:
                    # Fails while the file is missing or cannot be opened.
                    Watch(self._store.database).close()
                    lost = False
                    self._owner.post_message(DataFound())
                for change in changes(self._store, since, stop=self._stop):
                    since = change.last_event
                    self._owner.post_message(DataChanged(change))
            except StoreError as error:
                if self._stop.is_set():
                    return
                if not lost:
                    lost = True
                    self._owner.post_message(DataLost(error))
                self._stop.wait(_TRY_AGAIN_SECONDS)
