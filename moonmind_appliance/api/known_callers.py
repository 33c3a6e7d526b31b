"""Callers that were authenticated a moment ago: their next request needs no thread and no check of a signature."""

import time
from typing import NamedTuple

from cachetools import LRUCache

from moonmind_appliance.models import Authenticated
from moonmind_appliance.store.data_version import Version
from moonmind_appliance.store.tokens import token_digest

# A token's last use must still be recorded every minute, and a key that a realm withdraws must soon not count.
_KEPT_SECONDS = 20.0
_MOST = 1024


class KnownCaller(NamedTuple):
    """A caller whose token was checked. `version` is that of the tokens then, `until` is on the monotonic clock."""

    caller: Authenticated
    version: Version | None
    until: float

    def known(self) -> bool:
        """Whether the token need not be checked again yet, unless one was revoked."""
        return time.monotonic() < self.until and not self.caller.expired()


class KnownCallers:
    """Whom the tokens of recent requests authenticate. For the event loop's thread.

    A token is known for some seconds, while no token is revoked, and until it expires. Only hashes of tokens are kept.
    """

    def __init__(self, kept_seconds: float = _KEPT_SECONDS) -> None:
        self._kept_seconds = kept_seconds
        self._callers = LRUCache[bytes, KnownCaller](_MOST)

    def find(self, token: str, version: Version | None) -> KnownCaller | None:
        """Whom the token authenticates; None if it must be checked. `version` is that of the tokens now."""
        found = self._callers.get(token_digest(token))
        return None if found is None or found.version != version or not found.known() else found

    def add(self, token: str, version: Version | None, caller: Authenticated) -> KnownCaller:
        """Remember a token that was checked when the tokens had that version, or a later one.

        Without a version it is not remembered: a revocation could not be noticed.
        """
        added = KnownCaller(caller, version, time.monotonic() + self._kept_seconds)
        if version is not None:
            self._callers[token_digest(token)] = added
        return added
