"""Runs blocking work in threads: access to disk, SQLite, Docker or the network."""

import itertools
import queue
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple, TypeVar

from textual.message_pump import MessagePump

from moonmind_appliance.errors import ApplianceError

T = TypeVar("T")

_THREADS = 4


class _Job(NamedTuple):
    owner: MessagePump
    work: Callable[[], Any]
    done: Callable[[Any], None]
    failed: Callable[[ApplianceError], None]


class Background:
    """A few threads. Results arrive as callbacks in the owner's message loop, and never after the owner was closed.

    `run` may be called from any thread. Jobs of one owner with the same key never run at the same time: while one
    runs, only the newest waiting job is kept, so that a burst of changes causes one or two reads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[int, str], _Job | None] = {}
        self._queue: queue.SimpleQueue[tuple[tuple[int, str], _Job] | None] = queue.SimpleQueue()
        self._number = itertools.count()
        for number in range(_THREADS):
            # Daemon threads: quitting must not wait for a Docker engine that does not answer.
            threading.Thread(target=self._work, name=f"tui-{number}", daemon=True).start()

    def run(
        self,
        owner: MessagePump,
        key: str,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[ApplianceError], None],
    ) -> None:
        """Run `work` in a thread, then `done` with its result or `failed` with its error in the owner's loop.

        Args:
            owner: a widget, screen or app.
            key: names the job; "" for one that a newer job never replaces.
            work: may block. An exception that is not an `ApplianceError` is a defect and ends the interface.
            done: gets the result.
            failed: gets the error.
        """
        name = (id(owner), key or f"#{next(self._number)}")
        # The author of its changes is part of the context.
        job = _Job(owner, partial(copy_context().run, work), done, failed)
        with self._lock:
            if name in self._running:
                self._running[name] = job
                return
            self._running[name] = None
        self._queue.put((name, job))

    def close(self) -> None:
        """Stop each thread after its current job. Idempotent."""
        for _ in range(_THREADS):
            self._queue.put(None)

    @property
    def idle(self) -> bool:
        """Whether no job runs or waits."""
        with self._lock:
            return not self._running

    def _work(self) -> None:
        while (next_one := self._queue.get()) is not None:
            name, job = next_one
            _do(job)
            with self._lock:
                waiting = self._running.pop(name)
                if waiting is not None:
                    self._running[name] = None
            if waiting is not None:
                self._queue.put((name, waiting))
            # A waiting thread must not keep a reference to a closed screen.
            del next_one, job, waiting


def _do(job: _Job) -> None:
    try:
        result = job.work()
    except ApplianceError as error:
        job.owner.call_later(job.failed, error)
    except Exception as error:  # noqa: BLE001 - raised again in the loop, which ends the interface with one message
        job.owner.call_later(_raise, error)
    else:
        job.owner.call_later(job.done, result)


def _raise(error: Exception) -> None:
    raise error
