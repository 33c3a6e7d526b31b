"""Requests to stop by signal, for commands that must finish their current step and then remove what they made."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """In the `with` block these signals interrupt nothing; the function returns whether one has arrived.

    Signals that are ignored stay ignored: a shell starts background commands without SIGINT, `nohup` without SIGHUP.
    """
    # Not a threading.Event: the handler could interrupt its wait, and wait for its lock forever.
    arrived: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    before = {each: signal.getsignal(each) for each in _STOPS}
    caught = {each: handler for each, handler in before.items() if handler is not signal.SIG_IGN}
    for each in caught:
        signal.signal(each, note)
    try:
        yield lambda: bool(arrived)
    finally:
        for each, handler in caught.items():
            signal.signal(each, handler)
