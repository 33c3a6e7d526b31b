"""Bad days that the stand-in GitHub plays on request."""

import threading
from enum import StrEnum


class Scenario(StrEnum):
    """What goes wrong. Those of the first group last until they are ended; the others can be counted in requests."""

    PUSH_REFUSED = "push-refused"  # a branch rule declines every push
    PR_EXISTS = "pr-exists"  # somebody opens a pull request from each new branch as soon as it is pushed
    PR_RACED = "pr-raced"  # somebody is faster by the moment between looking and creating
    DRAFT_REFUSED = "draft-refused"  # no repository takes draft pull requests

    UNREACHABLE = "unreachable"  # connections break off without an answer
    SERVER_ERRORS = "server-errors"  # 502
    RATE_LIMITED = "rate-limited"  # the hour's requests are used up
    SECONDARY_RATE_LIMITED = "secondary-rate-limited"  # too many requests at once
    SLOW = "slow"  # every answer takes a second longer
    LOST_ANSWER = "lost-answer"  # a pull request is created, and the answer to it is lost


class Playing:
    """Which scenarios play, and how often each still happens. Safe to use from several threads."""

    def __init__(self) -> None:
        self._left: dict[Scenario, int | None] = {}
        self._lock = threading.Lock()

    def play(self, scenario: Scenario, times: int | None) -> None:
        """Let it happen that often; None: until it is ended."""
        with self._lock:
            self._left[scenario] = times

    def end(self, scenario: Scenario) -> None:
        """No more of it. Safe twice."""
        with self._lock:
            self._left.pop(scenario, None)

    def happens(self, scenario: Scenario) -> bool:
        """Whether it happens now; counts as one of its times."""
        with self._lock:
            if scenario not in self._left:
                return False
            left = self._left[scenario]
            if left is None:
                return True
            if left <= 1:
                del self._left[scenario]
            else:
                self._left[scenario] = left - 1
            return left > 0
