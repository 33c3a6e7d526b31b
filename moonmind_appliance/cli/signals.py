"""SIGTERM and SIGHUP end a command as Ctrl-C does: it undoes what it began, and reports that it was stopped."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """While this is open, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread.

    An ignored signal stays ignored, as under `nohup`. No effect outside the main thread, which alone can have handlers.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {sig: handler for sig in STOPPING if (handler := signal.getsignal(sig)) is not signal.SIG_IGN}
    for sig in before:
        signal.signal(sig, _interrupt)
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


def _interrupt(_sig: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
