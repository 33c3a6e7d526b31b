"""SIGTERM and SIGHUP end a command as Ctrl-C does: it undoes what it began, and reports that it was stopped."""

import _thread
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGHUP)
_AGAIN_AFTER = 0.05


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """While this is open, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread, and no stop is lost.

    An ignored signal stays ignored, as under `nohup`. No effect outside the main thread, which alone can have handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {sig: handler for sig in STOPPING if (handler := signal.getsignal(sig)) is not signal.SIG_IGN}
    hook = sys.unraisablehook
    sys.unraisablehook = partial(_stop_again, hook)
    for sig in before:
        signal.signal(sig, _interrupt)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for sig, handler in before.items():
            signal.signal(sig, handler)


def _interrupt(_sig: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _stop_again(hook: Callable[["sys.UnraisableHookArgs"], object], unraisable: "sys.UnraisableHookArgs") -> None:
    """Repeat a stop that came in a destructor: Python drops the exception there, and would only print a traceback."""
    if not isinstance(unraisable.exc_value, KeyboardInterrupt):
        hook(unraisable)
        return
    # The handlers of this moment get it: `serve` may have set its own meanwhile.
    handled = [sig for sig in (*STOPPING, signal.SIGINT) if callable(signal.getsignal(sig))]
    for sig in handled[:1]:
        threading.Timer(_AGAIN_AFTER, _thread.interrupt_main, (sig,)).start()
