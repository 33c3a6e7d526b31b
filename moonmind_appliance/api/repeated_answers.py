"""Answers that can be sent again, because the same request came again and nothing has changed since.

Clients that follow runs by polling send the same request every second or so. Most of the time nothing changed.
"""

import hashlib
from typing import Any, NamedTuple

from cachetools import LRUCache
from litestar.types import HTTPScope, Message, Scope, Send

from moonmind_appliance.api.known_callers import KnownCaller
from moonmind_appliance.store.data_version import Version

REPEATABLE = "repeatable"
"""The option of a route whose answer depends on the request, the caller and the database only."""

_MOST_BYTES = 8 * 1024**2
_LONGEST_ANSWER = 256 * 1024
# What differs from request to request, and what no handler reads.
_NOT_COMPARED = frozenset({b"x-request-id"})
_OK = 200


class Answer(NamedTuple):
    """A whole answer, and for whom it was made: it is sent again only while that caller is known."""

    headers: list[tuple[bytes, bytes]]
    body: bytes
    route: str
    version: Version
    caller: KnownCaller

    async def send(self, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": _OK, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


class RepeatedAnswers:
    """The last answers of routes with the option `REPEATABLE`. For the event loop's thread.

    A request is the same if its method, address and headers are, so the caller is the same, too. An answer is sent
    again while nothing changes in the database, and until the caller's token must be checked again.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._answers = LRUCache[bytes, Answer](most_bytes, getsizeof=_size)
        self._version: Version | None = None

    def find(self, key: bytes, version: Version | None) -> Answer | None:
        """The answer for the request with that key; None if it must be made."""
        found = self._answers.get(key)
        return None if found is None or found.version != version or not found.caller.known() else found

    def recorder(self, key: bytes, scope: Scope, version: Version | None) -> "Recorder":
        """Something that sees the answer to that request, and keeps it if it can be sent again.

        Args:
            key: the request's `key_of`.
            scope: the request; Litestar adds its route, and the guard the caller.
            version: the database's when the request came.
        """
        return Recorder(self, key, scope, version)

    def keep(self, key: bytes, answer: Answer) -> None:
        """Keep an answer, unless it is too large. Those of an earlier version go: they are never sent again."""
        if answer.version != self._version:
            self._answers.clear()
            self._version = answer.version
        if len(answer.body) <= _LONGEST_ANSWER:
            self._answers[key] = answer


class Recorder:
    """See `RepeatedAnswers.recorder`. Pass it each message of the answer."""

    def __init__(self, answers: RepeatedAnswers, key: bytes, scope: Scope, version: Version | None) -> None:
        self._answers = answers
        self._key = key
        self._scope: Any = scope
        self._version = version
        self._headers: list[tuple[bytes, bytes]] | None = None

    def see(self, message: Message) -> None:
        """Look at a message before it is sent."""
        if message["type"] == "http.response.start":
            self._headers = list(message["headers"]) if message["status"] == _OK else None
            return
        if message["type"] != "http.response.body" or self._headers is None or self._version is None:
            return
        headers, self._headers = self._headers, None
        handler = self._scope.get("route_handler")
        caller = self._scope["state"].get("known_caller")
        if message.get("more_body") or caller is None or handler is None or not handler.opt.get(REPEATABLE):
            return
        route = str(self._scope.get("path_template") or "none")
        body = bytes(message["body"])
        self._answers.keep(self._key, Answer(headers, body, route, self._version, caller))


def key_of(scope: HTTPScope) -> bytes | None:
    """What is equal for equal requests; None if the request is no GET with a token. No token can be read from it."""
    if scope["method"] != "GET" or not any(name == b"authorization" for name, _ in scope["headers"]):
        return None
    key = hashlib.sha256()
    for part in (scope["raw_path"], scope["query_string"]):
        key.update(b"%d:%b" % (len(part), part))
    for name, value in scope["headers"]:
        if name not in _NOT_COMPARED:
            key.update(b"%d:%b%d:%b" % (len(name), name, len(value), value))
    return key.digest()


def _size(answer: Answer) -> int:
    # About what the headers and the objects take.
    return len(answer.body) + 1024
