"""What changed in the database, by whichever process, without reading rows again and again."""

import threading
from collections.abc import Iterator

import msgspec

from moonmind_appliance.store import Store, Watch


class Change(msgspec.Struct, frozen=True):
    """What changed since the change before.

    `run_ids` and `shards` are those that new events name; `last_event` is the newest event's id, to go on from.
    `other`: something was written, and no event says what: a heartbeat, say, or a look at a login. What is written
    without an event in the same moment as an event shows in `run_ids` and `shards` alone, so read again all that you
    show, and compare.
    """

    run_ids: frozenset[str]
    shards: frozenset[int]
    last_event: int
    other: bool


def latest(store: Store) -> int:
    """The newest event's id. Take it before you read what you show, and follow `changes` from it."""
    return store.events.latest()


def changes(store: Store, since: int, *, stop: threading.Event, every: float = 0.25) -> Iterator[Change]:
    """Wait for changes and yield each; ends when `stop` is set, within `every` seconds.

    It looks every so many seconds at one number of SQLite, and reads events only when that number changed. It blocks,
    so give it a thread; close it in that thread.

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
