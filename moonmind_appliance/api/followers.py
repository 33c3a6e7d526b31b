"""Wakes the event streams of runs that changed. One look at the database and the growing logs serves all streams."""

import asyncio
import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from litestar.concurrency import sync_to_thread

from moonmind_appliance.errors import StoreError
from moonmind_appliance.resources import Resources
from moonmind_appliance.store import Watch
from moonmind_appliance.views.changes import latest
from moonmind_appliance.views.run_tail import RunTail

_log = logging.getLogger(__name__)


class _Follower:
    """One stream: what it reads, and the event that wakes it."""

    def __init__(self, tail: RunTail) -> None:
        self.tail = tail
        self.woken = asyncio.Event()


class Followers:
    """The streams that wait. All methods belong to the event loop's thread.

    While there are streams, a task looks for changes every `look_every` seconds, in a worker thread.
    """

    def __init__(self, resources: Resources, look_every: float) -> None:
        self._resources = resources
        self._look_every = look_every
        self._followers: set[_Follower] = set()
        self._task: asyncio.Task[None] | None = None
        self._changes = _Changes(resources)

    @contextmanager
    def follow(self, tail: RunTail) -> Iterator[asyncio.Event]:
        """An event that is set when the tail may have new messages, and when the server stops.

        Clear it before you read the tail, so that a change during the reading sets it again.
        """
        follower = _Follower(tail)
        self._followers.add(follower)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._look())
        try:
            yield follower.woken
        finally:
            self._followers.discard(follower)

    async def _look(self) -> None:
        try:
            while self._followers:
                before = frozenset(self._followers)
                affected = await self._affected(before)
                # One that came during the look may have read the run before the change that the look has passed.
                for follower in (self._followers - before).union(affected):
                    follower.woken.set()
                await asyncio.sleep(self._look_every)
        finally:
            self._task = None
            self._changes.close()

    async def _affected(self, followers: frozenset[_Follower]) -> Collection[_Follower]:
        if self._resources.stopping.is_set():
            return followers
        try:
            return await sync_to_thread(self._changes.affected, followers)
        except StoreError:
            # Each stream meets the same error when it reads, reports it, and ends.
            return followers
        except Exception:  # noqa: BLE001 - without this task no stream would get anything more
            _log.exception("The search for changes failed: all event streams read their runs.")
            return followers


class _Changes:
    """What changed since the last look. For one thread at a time; it waits for the other."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._last = 0

    def affected(self, followers: Collection[_Follower]) -> list[_Follower]:
        """The followers of runs with new events or longer logs; at the first call all.

        Raises:
            StoreError: the database cannot be read; the next call opens it anew.
        """
        with self._lock:
            try:
                if self._watch is None:
                    self._open_watch()
                    return list(followers)
                run_ids = self._changed_runs(self._watch)
            except StoreError:
                self._forget_watch()
                raise
        sizes: dict[Path, int] = {}
        return [
            follower
            for follower in followers
            if follower.tail.run_id in run_ids
            or any(_size(path, sizes) != size for path, size in follower.tail.growing.items())
        ]

    def close(self) -> None:
        """Close the connection; the next look opens another one."""
        with self._lock:
            self._forget_watch()

    def _open_watch(self) -> None:
        last = latest(self._resources.store)
        self._watch = Watch(self._resources.store.database)
        self._last = self._watch.new_events(last).last

    def _changed_runs(self, watch: Watch) -> frozenset[str]:
        if not watch.changed():
            return frozenset()
        found = watch.new_events(self._last)
        self._last = found.last
        return found.run_ids

    def _forget_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None


def _size(path: Path, known: dict[Path, int]) -> int:
    if path not in known:
        try:
            known[path] = path.stat().st_size
        except OSError:
            known[path] = 0
    return known[path]
