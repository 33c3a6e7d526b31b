"""Callers that were authenticated a moment ago: their next request needs no thread and no check of a signature."""

import hashlib
import time
from typing import NamedTuple

from cachetools import LRUCache

from moonmind_appliance.models import Authenticated
from moonmind_appliance.store.data_version import Version

# A token's last use must still be recorded every minute, and a key that a realm withdraws must soon not count.
KEPT_SECONDS = 20.0
_MOST = 1024


class _Known(NamedTuple):
    caller: Authenticated
    version: Version
    until: float


class KnownCallers:
    """Whom the tokens of recent requests authenticate. For the event loop's thread.

    A token is known for some seconds, while no token is revoked, and until it expires. Only hashes of tokens are kept.
    """

    def __init__(self) -> None:
        self._callers = LRUCache[bytes, _Known](_MOST)

    def find(self, token: str, version: Version | None) -> Authenticated | None:
        """Whom the token authenticates; None if it must be checked. `version` is that of the tokens now."""
        found = self._callers.get(_digest(token))
        if found is None or found.version != version or time.monotonic() >= found.until or found.caller.expired():
            return None
        return found.caller

    def add(self, token: str, version: Version | None, caller: Authenticated) -> None:
        """Remember a token that was checked when the tokens had that version, or a later one."""
        if version is not None:
            self._callers[_digest(token)] = _Known(caller, version, time.monotonic() + KEPT_SECONDS)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
