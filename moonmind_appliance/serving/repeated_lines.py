"""Keeps one cause from filling the log."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_EVERY_SECONDS = 60
_MOST_KEYS = 1000


class RepeatedLines(logging.Filter):
    """Lets the same message pass once a minute; the next one says how many were left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[object, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the record: a message is the same if its template and its exception are."""
        # Without the arguments: with them each client's line would differ.
        key = (record.levelno, str(record.msg), repr(record.exc_info[1]) if record.exc_info else "")
        now = self._clock()
        since, left_out = self._seen.get(key, (float("-inf"), 0))
        if now - since < _EVERY_SECONDS:
            self._seen[key] = since, left_out + 1
            return False
        if len(self._seen) >= _MOST_KEYS:
            self._seen.clear()
        self._seen[key] = now, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more since the last such line)", ()
        return True


@contextmanager
def repeated_lines_left_out(*loggers: str) -> Iterator[None]:
    """Apply the filter to these loggers."""
    repeated = RepeatedLines()
    for name in loggers:
        logging.getLogger(name).addFilter(repeated)
    try:
        yield
    finally:
        for name in loggers:
            logging.getLogger(name).removeFilter(repeated)
