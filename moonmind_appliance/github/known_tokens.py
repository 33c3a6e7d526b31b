"""Makes an App's tokens known to the redactor before their first use, and forgotten when none can be valid."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

_LONGEST_LIFE = timedelta(hours=1)


class KnownTokens(Protocol):
    """Gets each token before it is used: the redactor."""

    def learn(self, source: str, secrets: Mapping[str, str], *, signed_in: bool = False) -> None:
        """Search for these values from now on."""

    def forget(self, source: str) -> None:
        """The values of that source are no longer secret."""


class TokenNames:
    """The names under which an App's tokens are known. Safe to use from several threads.

    Each client has a name, so that its tokens do not replace another client's. Without `known` nothing is made known:
    for a process that writes nothing.
    """

    def __init__(self, known: KnownTokens | None, clock: Callable[[], datetime]) -> None:
        self._known = known
        self._clock = clock
        self._lock = threading.Lock()
        self._clients = 0
        self._ended: list[tuple[datetime, str]] = []

    def learn_jwt(self, value: str) -> None:
        """Make a JWT of the App known; the one before it has no further use."""
        self._learn("GitHub App", "JWT", value)

    def new_client(self) -> str:
        """A name for one client."""
        with self._lock:
            self._clients += 1
            return f"GitHub App {self._clients}"

    def learn(self, client: str, token: str) -> None:
        """Make an installation token of that client known."""
        self._learn(client, "installation token", token)

    def end(self, client: str) -> None:
        """The client's tokens are no longer used. They stay known until none of them can be valid."""
        with self._lock:
            now = self._clock()
            over = [name for at, name in self._ended if now - at > _LONGEST_LIFE]
            self._ended = [*((at, name) for at, name in self._ended if name not in over), (now, client)]
        if self._known is not None:
            for name in over:
                self._known.forget(name)

    def _learn(self, source: str, kind: str, value: str) -> None:
        if self._known is not None:
            self._known.learn(source, {kind: value}, signed_in=True)
