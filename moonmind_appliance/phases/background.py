"""Work that overlaps with a phase: a thread for one call."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Result = TypeVar("_Result")


def in_background(name: str, work: Callable[[], _Result]) -> Future[_Result]:
    """Call `work` in a thread of its own, whose name begins with `name`. The result is what it returns or raises."""
    pool = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        return pool.submit(work)
    finally:
        pool.shutdown(wait=False)
