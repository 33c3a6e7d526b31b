"""Which connections are open, and which one is closed when there are too many."""

import logging
from collections import Counter
from typing import Protocol

from moonmind_appliance.serving.limits import Limits

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """A client's connection; `origin` is the `origin_of` its address."""

    origin: str

    def drop(self) -> None:
        """Close it at once."""


class Connections:
    """The open connections. Not thread-safe: for the event loop's thread.

    If a limit is reached, the connection that has waited longest for its client makes room for the new one. A complete
    request is never cut off. So a flood of half-sent requests does not lock out others behind the same address, such
    as a reverse proxy's.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: set[Connection] = set()
        self._of: Counter[str] = Counter()
        # For each origin, in the order in which the wait began: a dictionary is an ordered set.
        self._waiting: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> bool:
        """Add a connection; False if it exceeds a limit and must be refused."""
        admitted = self._make_room(connection.origin)
        if not admitted:
            _log.warning("Too many connections: refused one from %s.", connection.origin)
        self._open.add(connection)
        self._of[connection.origin] += 1
        return admitted

    def remove(self, connection: Connection) -> None:
        """Forget a closed connection. Can be called repeatedly."""
        if connection in self._open:
            self._open.remove(connection)
            self.working(connection)
            self._of[connection.origin] -= 1
            if not self._of[connection.origin]:
                del self._of[connection.origin]

    def waiting(self, connection: Connection) -> None:
        """Record that it waits for its client."""
        self.working(connection)
        self._waiting.setdefault(connection.origin, {})[connection] = None

    def working(self, connection: Connection) -> None:
        """Record that it no longer waits: the appliance works on its request."""
        if (waiting := self._waiting.get(connection.origin)) is not None:
            waiting.pop(connection, None)
            if not waiting:
                del self._waiting[connection.origin]

    def _make_room(self, origin: str) -> bool:
        while self._of[origin] >= self._limits.connections_of_one_address:
            if not self._drop_one_of(origin):
                return False
        while len(self._open) >= self._limits.connections:
            most = max(self._waiting, key=lambda one: self._of[one], default=None)
            if most is None or not self._drop_one_of(most):
                return False
        return True

    def _drop_one_of(self, origin: str) -> bool:
        for connection in self._waiting.get(origin, {}):
            _log.warning("Too many connections: closed the one from %s that waited longest for its client.", origin)
            self.remove(connection)
            connection.drop()
            return True
        return False
