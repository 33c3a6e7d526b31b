"""Work that overlaps with a phase: a thread for one call."""

import threading
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


def in_daemon(name: str, work: Callable[[], _Result]) -> Future[_Result]:
    """The same in a daemon thread: the end of the process does not wait for it, even if the engine does not answer."""
    ended: Future[_Result] = Future()

    def run() -> None:
        try:
            ended.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where the result is read
            ended.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return ended
