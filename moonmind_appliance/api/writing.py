"""Threads of their own for handlers that write to the database.

Such a handler may wait for a lock that another program has. In the threads that all other handlers share, a few of them
would keep every read waiting.
"""

import asyncio
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from functools import partial, wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Each has a connection to the database.
_MOST_THREADS = 32
# Another thread helps if a call has waited this long, for example because the others wait for another program's lock.
_PATIENCE = 0.02
# A thread without a call ends after this time, and its database connection is closed.
_IDLE_SECONDS = 10.0
# How long a result may wait for others.
_TOGETHER = 0.01


_log = logging.getLogger(__name__)


class _Call(NamedTuple):
    function: Callable[[], Any]
    answer: asyncio.Future[Any]
    since: float


class _Result(NamedTuple):
    answer: asyncio.Future[Any]
    value: Any
    error: BaseException | None


class WriteThreads:
    """Calls functions in threads: usually in one, in order; in more as soon as a call must wait.

    Two threads of Python, such as this one and the event loop's, slow each other down whenever both want to run. So the
    results of calls that come close together are handed over together. `call` belongs to the event loop's thread.

    Args:
        patience: seconds that a call waits before another thread helps.
        idle: seconds after which a thread without a call ends.
    """

    def __init__(self, patience: float = _PATIENCE, idle: float = _IDLE_SECONDS) -> None:
        self._patience = patience
        self._idle_seconds = idle
        self._numbers = itertools.count()
        self._idle: list[threading.Event] = []
        self._closed = False
        # Results that their callers do not have yet.
        self._finished: list[_Result] = []
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._working = 0
        self._looks_again = False

    async def call(self, function: Callable[[], _T]) -> _T:
        """Call the function in one of the threads; returns or raises what it does."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_T] = loop.create_future()
        with self._lock:
            self._waiting.append(_Call(function, answer, time.monotonic()))
            begins = not self._working
        if begins:
            self._add_thread(loop)
        else:
            self._look_later(loop)
        return await answer

    def close(self) -> None:
        """End the threads; those that are executing a call end after it. Idempotent."""
        with self._lock:
            self._closed = True
            for wanted in self._idle:
                wanted.set()

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._looks_again:
            self._looks_again = True
            loop.call_later(self._patience, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand over what has finished beside a slow call, and let another thread help if a call has waited."""
        self._looks_again = False
        with self._lock:
            late = bool(self._waiting) and time.monotonic() - self._waiting[0].since >= self._patience
            results, self._finished = self._finished, []
            again = bool(self._waiting) or self._working > 0
        _settle(results)
        if late and self._working < _MOST_THREADS:
            self._add_thread(loop)
        if again:
            self._look_later(loop)

    def _add_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._working += 1
            # The one that worked last: those that are not needed get old.
            wanted = self._idle.pop() if self._idle else None
        if wanted is not None:
            wanted.set()
            return
        try:
            threading.Thread(target=self._run, args=(loop,), name=f"write_{next(self._numbers)}").start()
        except RuntimeError as error:
            # The system's limit on threads. The call waits for a thread that works, or for the next attempt.
            _log.warning("A thread for requests that write could not be started: %s", error)
            with self._lock:
                self._working -= 1
            self._look_later(loop)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make calls whenever there are any; end after a time without one."""
        while True:
            wanted = threading.Event()
            self._work(loop, wanted)
            wanted.wait(0.0 if self._closed else self._idle_seconds)
            with self._lock:
                if wanted in self._idle:
                    self._idle.remove(wanted)
                    return

    def _work(self, loop: asyncio.AbstractEventLoop, wanted: threading.Event) -> None:
        """Make the waiting calls, then register `wanted`, which is set when there are new ones."""
        oldest = 0.0
        while (call := self._next(wanted)) is not None:
            result = _result(call)
            with self._lock:
                self._finished.append(result)
            oldest = oldest or time.monotonic()
            if time.monotonic() - oldest >= _TOGETHER:
                self._hand_over(loop)
                oldest = 0.0
        self._hand_over(loop)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            results, self._finished = self._finished, []
        if results:
            # The loop is closed if the process stopped meanwhile: nobody waits for the results.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, results)

    def _next(self, wanted: threading.Event) -> _Call | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._working -= 1
            self._idle.append(wanted)
            return None


def _result(call: _Call) -> _Result:
    try:
        return _Result(call.answer, call.function(), None)
    except BaseException as error:  # noqa: BLE001 - raised where the answer is awaited
        return _Result(call.answer, None, error)


def _settle(results: list[_Result]) -> None:
    for result in results:
        if result.answer.done():
            continue
        if result.error is None:
            result.answer.set_result(result.value)
        else:
            result.answer.set_exception(result.error)


def writes(handler: Callable[_P, _T]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Run the handler in one of the application's `write_threads`. It needs a parameter `request`."""

    @wraps(handler)
    async def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        request: Any = kwargs["request"]
        threads: WriteThreads = request.app.state["write_threads"]
        return await threads.call(partial(copy_context().run, handler, *args, **kwargs))

    return run
