"""HTTP features that Litestar lacks: common headers, HEAD, refusals while a body is still being received."""

import asyncio
import contextlib
from collections.abc import Iterable
from http import HTTPStatus
from typing import cast

import msgspec
from litestar.exceptions import HTTPException
from litestar.types import HTTPReceiveMessage, HTTPScope, Message, Receive, Send

from moonmind_appliance.api.problems import PROBLEM_JSON, problem

# The API's longest path has about a hundred bytes; 255 characters of an external_ref have up to 3,060 in a query.
MAX_PATH_BYTES = 1024
MAX_QUERY_BYTES = 4096
MAX_COOKIE_BYTES = 4096


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


def limit_body(scope: HTTPScope, receive: Receive, send: Send, *, seconds: float) -> tuple[Receive, Send]:
    """Limit the time for the request's body; a refusal does not wait for the rest of it.

    The refusal announces that the connection closes; the server reads on for a while, so that TCP does not drop the
    refusal. A caller that waits for `100 Continue` has not begun to send.
    """
    headers = dict(scope["headers"])
    coming = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
    waits = b"expect" in headers
    answered = False
    deadline = asyncio.get_running_loop().time() + seconds

    async def receive_body(*, until: float) -> HTTPReceiveMessage:
        nonlocal coming, waits
        waits = False
        async with asyncio.timeout_at(until if coming and not answered else None):
            message = cast("HTTPReceiveMessage", await receive())
        coming = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def receive_in_time() -> HTTPReceiveMessage:
        try:
            return await receive_body(until=deadline)
        except TimeoutError:
            detail = f"The body did not arrive within {seconds:g} seconds."
            raise HTTPException(detail, status_code=HTTPStatus.REQUEST_TIMEOUT) from None

    async def send_refusal_now(message: Message) -> None:
        nonlocal answered
        if message["type"] == "http.response.start":
            if coming and message["status"] >= HTTPStatus.BAD_REQUEST:
                with contextlib.suppress(TimeoutError):
                    # Bytes that have already arrived are returned without waiting.
                    while coming and not waits:
                        await receive_body(until=0)
                if coming:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            answered = True
        await send(message)

    return cast("Receive", receive_in_time), send_refusal_now


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
