"""SIGTERM and SIGHUP end a command as Ctrl-C does: it undoes what it began, and reports that it was stopped."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
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


@contextmanager
def stops_are_kept() -> Iterator[Callable[[], None]]:
    """While this is open, no stop signal is lost; yields a check that raises KeyboardInterrupt after a stop signal.

    Python drops an exception that a signal handler raises in a destructor, and prints a traceback. So the signal is
    recorded, too, and that traceback is not printed. Use it in the main thread.
    """
    stopped = threading.Event()

    def interrupt(_sig: int, _frame: FrameType | None) -> None:
        stopped.set()
        raise KeyboardInterrupt

    def check() -> None:
        if stopped.is_set():
            raise KeyboardInterrupt

    def report(unraisable: "sys.UnraisableHookArgs") -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)

    hook, before = sys.unraisablehook, {sig: signal.getsignal(sig) for sig in (signal.SIGINT, *STOPPING)}
    before = {sig: handler for sig, handler in before.items() if handler is not signal.SIG_IGN}
    try:
        sys.unraisablehook = report
        for sig in before:
            signal.signal(sig, interrupt)
        yield check
    finally:
        sys.unraisablehook = hook
        for sig, handler in before.items():
            signal.signal(sig, handler)


def _interrupt(_sig: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
