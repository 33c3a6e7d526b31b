"""Threads of their own for handlers that write to the database.

Such a handler may wait for a lock that another program has. In the threads that all other handlers share, a few of them
would keep every read waiting.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

# They are created when they are needed. Each has a connection to the database.
_MOST_WRITES = 32


def write_threads() -> ThreadPoolExecutor:
    """The threads, for the application's state `write_threads`. The caller shuts them down."""
    return ThreadPoolExecutor(_MOST_WRITES, thread_name_prefix="write")


def writes(handler: Callable[_P, _T]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Run the handler in one of these threads. It needs a parameter `request`."""

    @wraps(handler)
    async def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        request: Any = kwargs["request"]
        work = partial(copy_context().run, handler, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(request.app.state["write_threads"], work)

    return run
