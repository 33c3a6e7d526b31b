"""Failures that the stand-in GitHub simulates on request."""

import threading
from enum import StrEnum


class Scenario(StrEnum):
    """A failure. Those of the first group last until `end`; the others can be limited to a number of requests."""

    PUSH_REFUSED = "push-refused"  # a branch rule declines every push
    PR_EXISTS = "pr-exists"  # another user opens a pull request from each new branch as soon as it is pushed
    PR_RACED = "pr-raced"  # another user opens one between the appliance's search and its request to create one
    DRAFT_REFUSED = "draft-refused"  # no repository takes draft pull requests

    UNREACHABLE = "unreachable"  # connections are closed without an answer
    SERVER_ERRORS = "server-errors"  # 502
    RATE_LIMITED = "rate-limited"  # the requests per hour are used up
    SECONDARY_RATE_LIMITED = "secondary-rate-limited"  # too many requests at once
    SLOW = "slow"  # every answer takes a second longer
    LOST_ANSWER = "lost-answer"  # a pull request is created, and the answer to it is lost


class Playing:
    """The active scenarios, and how often each is still to happen. Safe to use from several threads."""

    def __init__(self) -> None:
        self._left: dict[Scenario, int | None] = {}
        self._lock = threading.Lock()

    def play(self, scenario: Scenario, times: int | None) -> None:
        """Simulate it that often; None: until `end`."""
        with self._lock:
            self._left[scenario] = times

    def end(self, scenario: Scenario) -> None:
        """End it. Safe twice."""
        with self._lock:
            self._left.pop(scenario, None)

    def happens(self, scenario: Scenario) -> bool:
        """Whether it happens now; a True counts as one time."""
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
