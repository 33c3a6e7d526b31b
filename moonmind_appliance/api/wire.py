"""HTTP features that Litestar lacks: common headers, HEAD, refusals while a body is still being received."""

import asyncio
import contextlib
from collections.abc import Iterable
from http import HTTPStatus
from typing import cast

import msgspec
from litestar.types import HTTPReceiveMessage, HTTPScope, Message, Receive, Send

from moonmind_appliance.api.problems import PROBLEM_JSON, problem

# The API's longest path has about a hundred bytes; 255 characters of an external_ref have up to 3,060 in a query.
MAX_PATH_BYTES = 1024
MAX_QUERY_BYTES = 4096
MAX_COOKIE_BYTES = 4096

_READ_ON_BYTES = 16 * 1024**2
_READ_ON_SECONDS = 5.0


def common_headers(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    """Headers of every response: the request's id, no type sniffing, and no caching unless the handler allows it."""
    given = [(name, with_head(value) if name == b"allow" else value) for name, value in headers]
    given += [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]
    if not any(name == b"cache-control" for name, _ in given):
        given.append((b"cache-control", b"no-store"))
    return given


def with_head(allow: bytes) -> bytes:
    """Add HEAD to the Allow header of a route that answers GET."""
    methods = {method.strip() for method in allow.split(b",")}
    return b", ".join(sorted(methods | ({b"HEAD"} if b"GET" in methods else set())))


def answer_head(scope: HTTPScope, receive: Receive, send: Send) -> tuple[HTTPScope, Receive, Send]:
    """Treat HEAD as GET without sending the body (RFC 9110, 9.3.2). An endless body sees a disconnect."""
    begun = asyncio.Event()

    async def receive_nothing_more() -> HTTPReceiveMessage:
        if begun.is_set():
            return {"type": "http.disconnect"}
        return cast("HTTPReceiveMessage", await receive())

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            begun.set()

    return cast("HTTPScope", {**scope, "method": "GET"}), cast("Receive", receive_nothing_more), send_head


def finish_body(scope: HTTPScope, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Before a refusal is sent, read the rest of the request's body, within limits.

    If a server closes a connection with unread bytes, TCP drops the response: the caller sees a broken connection
    instead of the reason. A caller that waits for `100 Continue` has not begun to send.
    """
    headers = dict(scope["headers"])
    coming = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
    waits = b"expect" in headers
    read = 0

    async def receive_counting() -> HTTPReceiveMessage:
        nonlocal coming, waits, read
        waits = False
        message = cast("HTTPReceiveMessage", await receive())
        if message["type"] == "http.request":
            read += len(message["body"])
            coming = message.get("more_body", False)
        else:
            coming = False
        return message

    async def read_on() -> None:
        while coming and read < _READ_ON_BYTES:
            await receive_counting()

    async def send_after_body(message: Message) -> None:
        if (
            message["type"] == "http.response.start"
            and message["status"] >= HTTPStatus.BAD_REQUEST
            and coming
            and not waits
        ):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(read_on(), _READ_ON_SECONDS)
        await send(message)

    return cast("Receive", receive_counting), send_after_body


async def long_address_refused(scope: HTTPScope, send: Send) -> bool:
    """Answer 414 for an address longer than any of the API's, before Litestar sees it; True if it did.

    Litestar caches the last 1,024 paths, queries and cookies (`lru_cache` in its router and parsers), even of callers
    without a token: at 64 KiB each that would be hundreds of megabytes. A long Cookie is dropped; the API reads none.
    """
    cookies = sum(len(value) for name, value in scope["headers"] if name == b"cookie")
    if cookies > MAX_COOKIE_BYTES:
        scope["headers"] = [header for header in scope["headers"] if header[0] != b"cookie"]
    if len(scope["raw_path"]) <= MAX_PATH_BYTES and len(scope["query_string"]) <= MAX_QUERY_BYTES:
        return False
    message = f"The URL is too long: the limit is {MAX_PATH_BYTES} bytes of path and {MAX_QUERY_BYTES} of query."
    body = msgspec.json.encode(problem("address_too_long", message))
    headers = [(b"content-type", PROBLEM_JSON.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": HTTPStatus.REQUEST_URI_TOO_LONG, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
    return True
