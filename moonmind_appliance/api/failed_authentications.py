"""Limits how many invalid tokens one address may try."""

import hashlib
import logging
import math
import time
from collections.abc import Callable
from typing import NamedTuple

from cachetools import LRUCache

from moonmind_appliance.errors import TooMany

_WINDOW_SECONDS = 60.0
_MOST_ADDRESSES = 4096
_MOST_TOKENS = 4096

_log = logging.getLogger(__name__)


class _Failures(NamedTuple):
    """The failures of an address, until a time on the monotonic clock."""

    times: int
    until: float


class FailedAuthentications:
    """Counts invalid tokens by address. For the event loop's thread.

    While an address has too many, only tokens that were valid before are checked for it: so callers behind the same
    address, such as a proxy's, are not locked out by another one. Only hashes of tokens are kept, of a limited number.

    Args:
        limit: the most invalid tokens of one address in a minute; 0: no limit.
        now: seconds on a monotonic clock.
    """

    def __init__(self, limit: int, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._now = now
        self._failures = LRUCache[str, _Failures](_MOST_ADDRESSES)
        self._were_valid = LRUCache[bytes, bool](_MOST_TOKENS)

    def check(self, origin: str, token: str) -> None:
        """Refuse to check the token if its address has too many failures. `origin` is an `origin_of`.

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
            f"Your address has sent {found.times} tokens that are not valid within a minute.",
            hint=f"This token was not checked. Send a valid token in {seconds} s.",
            code="too_many_failed_authentications",
            retry_after=seconds,
        )

    def failed(self, origin: str, token: str) -> None:
        """Count an invalid token. One that was valid before is no guess: it expired or was revoked."""
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
                "%s has sent %d invalid tokens within a minute: its unknown tokens are not checked for %d s.",
                origin,
                found.times,
                math.ceil(found.until - now),
            )

    def succeeded(self, token: str) -> None:
        """Remember a valid token."""
        self._were_valid[_digest(token)] = True

    def _was_valid(self, token: str) -> bool:
        return _digest(token) in self._were_valid


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
