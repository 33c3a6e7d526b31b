"""Limits how many invalid tokens one address may try."""

import logging
import math
import time
from collections.abc import Callable
from typing import NamedTuple

from cachetools import LRUCache

from moonmind_appliance.errors import TooMany
from moonmind_appliance.store.tokens import token_digest

_WINDOW_SECONDS = 60.0
_MOST_ADDRESSES = 4096
_MOST_TOKENS = 4096

_log = logging.getLogger(__name__)


class _Failures(NamedTuple):
    """The number of failures of an address, and the end of its minute on the monotonic clock."""

    times: int
    until: float


class FailedAuthentications:
    """Counts invalid tokens by address. Not thread-safe: call it from the event loop's thread.

    While an address has too many, only tokens that were valid before are checked for it. So one caller cannot lock out
    others behind the same address, such as a proxy's. Only hashes of tokens are kept, and their number is limited.

    Args:
        limit: the most invalid tokens that one address may send within a minute; 0: no limit.
        now: seconds on a monotonic clock.
    """

    def __init__(self, limit: int, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._now = now
        self._failures = LRUCache[str, _Failures](_MOST_ADDRESSES)
        self._were_valid = LRUCache[bytes, bool](_MOST_TOKENS)

    def check(self, origin: str, token: str) -> None:
        """Refuse to check the token if its address has too many failures. `origin` is a result of `origin_of`.

        Raises:
            TooMany: `too_many_failed_authentications`.
        """
        found = self._failures.get(origin)
        if found is None or found.times < self._limit or self._was_valid(token):
            return
        seconds = math.ceil(found.until - self._now())
        if seconds <= 0:
            del self._failures[origin]
            return
        raise TooMany(
            f"Your address has sent {found.times} invalid tokens within a minute.",
            hint=f"This token was not checked. Send a valid token in {seconds} s.",
            code="too_many_failed_authentications",
            retry_after=seconds,
        )

    def failed(self, origin: str, token: str) -> None:
        """Count an invalid token. One that was valid before expired or was revoked: it is not a guess."""
        if not self._limit or self._was_valid(token):
            return
        now = self._now()
        found = self._failures.get(origin)
        if found is None or found.until <= now:
            found = _Failures(0, now + _WINDOW_SECONDS)
        found = found._replace(times=found.times + 1)
        self._failures[origin] = found
        if found.times == self._limit:
            _log.warning(
                "%s has sent %d invalid tokens within a minute: unknown tokens from it are not checked for %d s.",
                origin,
                found.times,
                math.ceil(found.until - now),
            )

    def succeeded(self, token: str) -> None:
        """Remember a valid token."""
        self._were_valid[token_digest(token)] = True

    def _was_valid(self, token: str) -> bool:
        return token_digest(token) in self._were_valid
