"""Reports what any process changed in the database, without polling rows."""

import threading
from collections.abc import Iterator

import msgspec

from moonmind_appliance.store import Store, Watch


class Change(msgspec.Struct, frozen=True):
    """What changed since the previous `Change`.

    `run_ids` and `shards` are those that new events name; `last_event` is the newest event's id, to continue from.
    `other`: something was written without an event, such as a heartbeat or the check of a login. If that happens at
    the same time as an event, only `run_ids` and `shards` show a change: read all displayed data again, and compare.
    """

    run_ids: frozenset[str]
    shards: frozenset[int]
    last_event: int
    other: bool


def latest(store: Store) -> int:
    """The newest event's id. Get it before you read the data, and follow `changes` from it."""
    return store.events.latest()


def changes(store: Store, since: int, *, stop: threading.Event, every: float = 0.25) -> Iterator[Change]:
    """Wait for changes and yield each; ends when `stop` is set, within `every` seconds.

    It reads one number of SQLite every `every` seconds, and events only after that number changed. It blocks, so run
    it in a thread of its own, and close it in that thread.

    Raises:
        StoreError: the database cannot be read any more, or its file was removed or replaced.
    """
    with Watch(store.database) as watch:
        found = watch.new_events(since)
        if found.last > since:
            yield Change(found.run_ids, found.shards, found.last, other=False)
        while not stop.is_set():
            if watch.changed():
                before = found.last
                found = watch.new_events(before)
                yield Change(found.run_ids, found.shards, found.last, other=found.last == before)
            stop.wait(every)
