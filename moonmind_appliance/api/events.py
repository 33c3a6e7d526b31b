"""A run's events and log lines as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, get
from litestar.concurrency import sync_to_thread
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter
from litestar.response import Stream

from moonmind_appliance.api.auth import bearer_token, require_token
from moonmind_appliance.api.followers import Followers
from moonmind_appliance.api.problems import BEHIND_A_TOKEN, problems, request_id
from moonmind_appliance.api.request import ApiRequest
from moonmind_appliance.errors import RequestError, StoreError, Unauthenticated
from moonmind_appliance.runs.visibility import visible_run
from moonmind_appliance.views.run_tail import Position, RunTail

_log = logging.getLogger(__name__)

STREAMS = 1024
STREAMS_OF_ONE = 16
_RETRY_AFTER_MS = 2000


class OpenStreams:
    """Counts the open event streams, in total and per subject. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: Counter[str] = Counter()

    def __len__(self) -> int:
        with self._lock:
            return self._of.total()

    def open(self, subject: str) -> bool:
        """Count one more; False if the limit is reached."""
        with self._lock:
            if self._of.total() >= STREAMS or self._of[subject] >= STREAMS_OF_ONE:
                return False
            self._of[subject] += 1
            return True

    def close(self, subject: str) -> None:
        """Count one less."""
        with self._lock:
            self._of[subject] -= 1
            self._of += Counter()


@get(
    "/",
    media_type="text/event-stream",
    operation_id="stream_run_events",
    summary="Follow a run",
    response_description="Server-sent events: `run`, `phase`, `artifact`, `log`, and `end` when the run is final.",
    responses={
        204: ResponseSpec(None, description="The run has ended and has no event after Last-Event-ID."),
        **problems(
            "not_found",
            "run_not_found",
            "too_many_streams",
            *BEHIND_A_TOKEN,
        ),
    },
)
async def stream_events(
    request: ApiRequest,
    run_id: FromPath[UUID],
    last_event_id: Annotated[
        str | None,
        HeaderParameter(
            name="Last-Event-ID", description="Resume after this event. Without it, the stream starts at the beginning."
        ),
    ] = None,
) -> Response[Any]:
    """Stream the run's past events, then new ones. The stream ends after the `end` event, or when the server stops."""
    position = Position.parse(last_event_id) if last_event_id else Position()
    parts = request.parts
    run = await sync_to_thread(visible_run, parts.resources.store, request.actor, str(run_id))
    streams: OpenStreams = request.app.state["streams"]
    subject = request.actor.subject
    if not streams.open(subject):
        raise HTTPException("Too many event streams are open.", status_code=429)
    request.at_end(lambda: streams.close(subject))
    tail = RunTail(parts.resources.store, parts.resources.files, run.run_id, position)
    first = await sync_to_thread(tail.read)
    if last_event_id and [message.name for message in first] == ["end"]:
        # By the standard, a client does not reconnect after 204.
        return Response("", status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    begin = b"retry: %d\n\n" % _RETRY_AFTER_MS + b"".join(message.encode() for message in first)
    return Stream(_follow(request, tail, begin), media_type="text/event-stream", headers=headers)


async def _follow(request: ApiRequest, tail: RunTail, begin: bytes) -> AsyncIterator[bytes]:
    yield begin
    pace, stopping = request.parts.pace, request.parts.resources.stopping
    followers: Followers = request.app.state["followers"]
    now = time.monotonic()
    comment_at, ask_at = now + pace.heartbeat_every, now + pace.ask_token_every
    with followers.follow(tail) as woken:
        woken.set()
        while not (tail.ended or stopping.is_set()):
            messages = []
            if woken.is_set():
                woken.clear()
                try:
                    messages = await sync_to_thread(tail.read)
                except StoreError as error:
                    _log.error("The event stream of request %s ended: %s", request_id(request), error)
                    yield b": the database cannot be read now\n\n"
                    return
            now = time.monotonic()
            if now >= ask_at:
                if not await sync_to_thread(_may_go_on, request):
                    yield b": the token is not valid any more\n\n"
                    return
                ask_at = now + pace.ask_token_every
            if messages:
                # `read` returns a limited number at once.
                woken.set()
                yield b"".join(message.encode() for message in messages)
            elif now >= comment_at:
                yield b": still here\n\n"
            if messages or now >= comment_at:
                comment_at = now + pace.heartbeat_every
            with suppress(TimeoutError):
                async with asyncio.timeout(min(comment_at, ask_at) - now):
                    await woken.wait()


def _may_go_on(request: ApiRequest) -> bool:
    """Whether the token is still valid: it may expire while the stream is open."""
    try:
        caller = request.parts.authenticate(bearer_token(request.headers.getall("authorization", [])))
    except Unauthenticated:
        return False
    except RequestError:
        # The check failed; the next one tries again.
        return True
    return caller is not None


events_router = Router(
    "/runs/{run_id:uuid}/events", route_handlers=[stream_events], guards=[require_token], tags=["runs"]
)
