"""Receives every request for Git and REST: logs it, injects faults, adds GitHub's headers."""

import asyncio
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from litestar.types import ASGIApp, Receive, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from moonmind_appliance.rehearsal.github.faults import Fault
from moonmind_appliance.rehearsal.github.git_http import GitHTTP
from moonmind_appliance.rehearsal.github.pages import HEADERS as PAGE_HEADERS
from moonmind_appliance.rehearsal.github.pages import page
from moonmind_appliance.rehearsal.github.refusals import DOCS, Refused
from moonmind_appliance.rehearsal.github.rest import API_PREFIX, API_VERSIONS
from moonmind_appliance.rehearsal.github.state import REQUESTS_AN_HOUR, GitHubState, token_of

Scope = MutableMapping[str, Any]

SLOW_SECONDS = 1.0
_RETRY_AFTER = 60
_GIT_ERRORS = {
    "info/refs": (Fault.GIT_REFS_ERROR, 502),
    "git-upload-pack": (Fault.GIT_FETCH_ERROR, 503),
    "git-receive-pack": (Fault.GIT_PUSH_ERROR, 502),
}


class LoggedRequest(NamedTuple):
    """A request in the log; `status` is None if the connection was closed without a response."""

    method: str
    path: str
    query: str
    status: int | None


class OpenConnections:
    """The server's connections by the caller's address, so that one can be closed without a response."""

    def __init__(self) -> None:
        self._open: dict[Any, tuple[asyncio.Transport, asyncio.Event]] = {}

    def protocol(self) -> type[asyncio.Protocol]:
        """The server's HTTP protocol, which also registers its connections here."""
        connections = self._open

        class TrackedConnection(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                connections[self.client] = (transport, asyncio.Event())

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                if lost := connections.pop(self.client, None):
                    lost[1].set()

        return TrackedConnection

    async def disconnect(self, client: tuple[str, int]) -> None:
        """Close the connection without sending anything; returns when the server has noticed."""
        if found := self._open.get(client):
            transport, lost = found
            transport.abort()
            await lost.wait()


class Gateway:
    """The ASGI app that the server runs.

    `requests` is the log, oldest first. `retry_after` is the number of seconds that injected rate limits ask to wait.
    """

    def __init__(self, state: GitHubState, git: GitHTTP, rest: ASGIApp, connections: OpenConnections) -> None:
        self.requests: list[LoggedRequest] = []
        self.retry_after = _RETRY_AFTER
        self._state = state
        self._git = git
        self._rest = rest
        self._connections = connections

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401 - ASGI's scope
        """Answer one request."""
        if scope["type"] != "http":
            return
        client = tuple(scope["client"])
        method, path, query = scope["method"], scope["path"], scope["query_string"].decode("latin-1")

        async def log_and_send(message: Any) -> None:  # noqa: ANN401 - ASGI's message
            # Before the response is sent: a caller that has the response finds the request in the log.
            if message["type"] == "http.response.start":
                self.requests.append(LoggedRequest(method, path, query, message["status"]))
            await send(message)

        async def disconnect() -> None:
            self.requests.append(LoggedRequest(method, path, query, None))
            await self._connections.disconnect(client)

        occurs = self._state.faults.take
        if occurs(Fault.SLOW):
            await asyncio.sleep(SLOW_SECONDS)
        if occurs(Fault.UNREACHABLE):
            await disconnect()
        elif occurs(Fault.SERVER_ERRORS):
            await _bad_gateway(log_and_send)
        elif self._git.serves(path):
            await self._call_git(scope, receive, log_and_send, disconnect)
        elif path.startswith(f"{API_PREFIX}/"):
            await self._call_rest(scope, receive, log_and_send, disconnect)
        else:
            await self._show_page(scope, log_and_send)

    async def _show_page(self, scope: Scope, send: Send) -> None:
        """A page for a browser on this machine. Pages need no token, so job containers do not get them."""
        local = _is_own_address(scope["client"][0])
        shown = await asyncio.to_thread(page, self._state, scope["path"]) if local else None
        if shown is None:
            await _plain(send, 404, b"Not Found", b"text/plain")
        else:
            await _plain(send, 200, shown.encode(), b"text/html; charset=utf-8", PAGE_HEADERS)

    async def _call_git(
        self, scope: Scope, receive: Receive, send: Send, disconnect: Callable[[], Awaitable[None]]
    ) -> None:
        occurs, path = self._state.faults.take, scope["path"]
        service = next(name for name in _GIT_ERRORS if path.endswith(f"/{name}"))
        error, status = _GIT_ERRORS[service]
        if occurs(Fault.GIT_RATE_LIMITED):
            retry = [(b"retry-after", b"%d" % self.retry_after)]
            await _plain(send, 429, b"Too many requests. Please wait before you try again.", b"text/plain", retry)
        elif occurs(error):
            await _plain(send, status, b"<html><body><h1>Unicorn!</h1></body></html>", b"text/html")
        elif service == "git-upload-pack" and occurs(Fault.GIT_RESET):
            await self._git(scope, receive, _first_bytes_only(send))
            await disconnect()
        elif service == "git-receive-pack" and occurs(Fault.GIT_LOST_ANSWER):
            await self._git(scope, receive, _nothing)
            await disconnect()
        else:
            await self._git(scope, receive, send)

    async def _call_rest(
        self, scope: Scope, receive: Receive, send: Send, disconnect: Callable[[], Awaitable[None]]
    ) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        added = self._headers(token_of(headers.get(b"authorization", "")), headers)
        limit = self._limit(added)
        if limit is not None:
            added += [(name.encode(), value.encode()) for name, value in limit.headers.items()]
            await _refuse(send, limit, added)
            return
        revokes = (scope["method"], scope["path"]) == ("DELETE", f"{API_PREFIX}/installation/token")
        if revokes and self._state.faults.take(Fault.REVOCATION_ERROR):
            await _bad_gateway(send)
            return
        drops_response = scope["method"] == "POST" and scope["path"].endswith("/pulls")
        drops_response = drops_response and self._state.faults.take(Fault.LOST_ANSWER)

        async def complete(message: Any) -> None:  # noqa: ANN401 - ASGI's message
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *added]}
            if not drops_response:
                await send(message)

        await self._rest(self._renamed(scope), receive, complete)  # type: ignore[arg-type]  # a plain ASGI scope
        if drops_response:
            await disconnect()

    def _renamed(self, scope: Scope) -> Scope:
        """Treat /repositories/{id}, the target of redirects for renamed repositories, as /repos/{slug}."""
        prefix = f"{API_PREFIX}/repositories/"
        number, _, rest = scope["path"].removeprefix(prefix).partition("/")
        if not scope["path"].startswith(prefix) or not number.isdecimal():
            return scope
        repository = self._state.by_id(int(number))
        if repository is None:
            return scope
        path = f"{API_PREFIX}/repos/{repository.slug}" + (f"/{rest}" if rest else "")
        return {**scope, "path": path, "raw_path": quote(path).encode()}

    def _headers(self, token: str | None, headers: dict[bytes, str]) -> list[tuple[bytes, bytes]]:
        """The headers that GitHub sends with every response: about itself, the token and its rate limit."""
        access = self._state.access(token) if token else None
        used = self._state.count_request(access.limit if access is not None and access.limit else token)
        texts = {
            "x-github-request-id": ":".join(secrets.token_hex(2).upper() for _ in range(4)),
            "x-github-media-type": "github.v3; format=json",
            "x-github-api-version-selected": headers.get(b"x-github-api-version", API_VERSIONS[0]),
            "x-ratelimit-limit": str(REQUESTS_AN_HOUR),
            "x-ratelimit-remaining": str(max(0, REQUESTS_AN_HOUR - used)),
            "x-ratelimit-used": str(used),
            "x-ratelimit-reset": str(int(time.time()) // 3600 * 3600 + 3600),
            "x-ratelimit-resource": "core",
        }
        if access is not None and access.permissions is None:
            texts["x-oauth-scopes"] = ", ".join(sorted(access.scopes))
            texts["x-accepted-oauth-scopes"] = "repo"
        return [(name.encode(), value.encode("latin-1")) for name, value in texts.items()]

    def _limit(self, headers: list[tuple[bytes, bytes]]) -> Refused | None:
        """The error of an injected rate limit, or None; changes the headers, too."""
        if self._state.faults.take(Fault.RATE_LIMITED):
            reset = str(int(time.time()) + self.retry_after).encode()
            exhausted = {b"x-ratelimit-remaining": b"0", b"x-ratelimit-reset": reset}
            headers[:] = [(name, exhausted.get(name, value)) for name, value in headers]
            page = f"{DOCS}/overview/rate-limits-for-the-rest-api"
            return Refused(403, "API rate limit exceeded for user ID 1.", operation=page)
        if self._state.faults.take(Fault.SECONDARY_RATE_LIMITED):
            page = f"{DOCS}/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"
            message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
            return Refused(403, message, operation=page, headers={"retry-after": str(self.retry_after)})
        if self._state.faults.take(Fault.TOO_MANY_REQUESTS):
            page = f"{DOCS}/overview/rate-limits-for-the-rest-api"
            return Refused(429, "Too many requests.", operation=page, headers={"retry-after": str(self.retry_after)})
        return None


def _first_bytes_only(send: Send) -> Send:
    """Send the start of the response and a part of its first bytes, and discard the rest."""
    sent = False

    async def cut(message: Any) -> None:  # noqa: ANN401 - ASGI's message
        nonlocal sent
        if message["type"] == "http.response.start":
            await send(message)
        elif not sent and message["body"]:
            sent = True
            await send(
                {"type": "http.response.body", "body": message["body"][: len(message["body"]) // 2], "more_body": True}
            )

    return cut


async def _nothing(message: Any) -> None:  # noqa: ANN401 - ASGI's message
    """Discard the response."""


def _is_own_address(address: str) -> bool:
    """Whether it is one of this machine's addresses; Docker's address translation can make a caller's any of them."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


async def _refuse(send: Send, refused: Refused, headers: list[tuple[bytes, bytes]]) -> None:
    body = msgspec.json.encode(refused.body)
    await _plain(send, refused.status, body, b"application/json; charset=utf-8", headers)


async def _bad_gateway(send: Send) -> None:
    """The response of GitHub's load balancer when GitHub does not respond."""
    await _plain(send, 502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", b"text/html")


async def _plain(
    send: Send, status: int, body: bytes, content_type: bytes, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    all_headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        *(headers or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
