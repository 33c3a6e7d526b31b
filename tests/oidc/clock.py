"""A clock that tests set."""

import time


class Clock:
    """Seconds since the epoch; starts at the current time and does not advance."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now
