"""uvicorn's HTTP protocol, with time limits for a client that does not send its request or does not read its answer.

uvicorn limits the time between two requests only (https://github.com/Kludex/uvicorn/issues/157).
"""

import asyncio
import logging
import uuid
from collections.abc import Callable
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, cast

import h11
import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

from moonmind_appliance.api.client_address import origin_of
from moonmind_appliance.api.problems import PROBLEM_JSON, problem
from moonmind_appliance.api.wire import common_headers
from moonmind_appliance.serving.connections import Connections
from moonmind_appliance.serving.limits import Limits

_log = logging.getLogger(__name__)

# Most bytes that are read and discarded after an answer that refused the rest of a body.
_MOST_DISCARDED_BYTES = 16 * 1024**2
# Fewest bytes of an answer that a client must read within `Limits.answer`: about 500 bytes per second.
_LEAST_READ_BYTES = 16 * 1024
_RETRY_SECONDS = 10


class _Wait(Enum):
    """What a connection waits for; all but `NEXT` have a time limit of their own."""

    HEAD = auto()
    BODY = auto()
    # uvicorn closes a connection that has been idle for 5 seconds.
    NEXT = auto()
    ANSWER_READ = auto()
    CLOSE = auto()


class _Transport:
    """The transport as uvicorn uses it; `close` is ours."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None], is_closing: Callable[[], bool]) -> None:
        self._transport = transport
        self.close = close
        self.is_closing = is_closing

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the transport
        return getattr(self._transport, name)


class LimitedProtocol(H11Protocol):
    """One connection of a client."""

    def __init__(self, *args: Any, connections: Connections, limits: Limits, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **kwargs)
        self.origin = ""
        self._table = connections
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._wait: _Wait | None = None
        self._of_request: object = None
        self._discarded = 0
        self._unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or refuse it if there are too many."""
        self._socket = transport
        super().connection_made(cast("asyncio.Transport", _Transport(transport, self._close, self._is_closing)))
        self.origin = origin_of(self.client[0]) if self.client else ""
        if self._table.admit(self):
            self._watch()
            return
        self._answer("too_many_connections", "Too many connections are in use.")
        # The request has not been read yet; without reading it, TCP would drop the answer.
        self._close(linger=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        self._table.remove(self)
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close at once, without sending what is not sent."""
        self._stop_timer()
        self._wait = _Wait.CLOSE
        self._socket.abort()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request, or discard it if its answer has been sent."""
        if self._wait is not _Wait.CLOSE:
            super().data_received(data)
            return
        self._discarded += len(data)
        if self._discarded > _MOST_DISCARDED_BYTES:
            self._socket.abort()

    def handle_events(self) -> None:
        """Handle the received events, then wait for the missing ones."""
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """An answer is complete: wait for the next request."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """The client does not read its answer as fast as it is written."""
        super().pause_writing()
        if self._wait is not _Wait.CLOSE:
            self._unread = self._socket.get_write_buffer_size()
            self._begin(_Wait.ANSWER_READ, self._limits.answer)

    def resume_writing(self) -> None:
        """It has read most of what was written."""
        super().resume_writing()
        if self._wait is _Wait.ANSWER_READ:
            self._wait = None
            self._of_request = None
            self._stop_timer()
            self._table.working(self)
            self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, in the shape of every error. uvicorn calls this."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                self._socket.abort()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.cycle is None or not self.cycle.response_started:
            self._answer("invalid_request", f"{msg.rstrip('.')}, or its headers are too long.")
        self._close()

    def shutdown(self) -> None:
        """The server stops: do not wait for clients."""
        if self._wait is _Wait.CLOSE:
            self._socket.abort()
        else:
            super().shutdown()

    def _watch(self) -> None:
        """Start the time limit for what is missing, unless it is running."""
        if self._wait in {_Wait.CLOSE, _Wait.ANSWER_READ}:
            return
        wait = self._missing()
        if wait is self._wait and self.cycle is self._of_request:
            return
        self._of_request = self.cycle
        if wait is None:
            self._wait = None
            self._stop_timer()
            self._table.working(self)
        else:
            limits = {_Wait.HEAD: self._limits.head, _Wait.BODY: self._limits.unread_body, _Wait.NEXT: None}
            self._begin(wait, limits[wait])

    def _missing(self) -> _Wait | None:
        if self.conn.their_state is h11.SEND_BODY:
            return _Wait.BODY
        if self.conn.their_state is not h11.IDLE or (self.cycle is not None and not self.cycle.response_complete):
            return None
        begun = self.cycle is None or self.conn.trailing_data[0]
        return _Wait.HEAD if begun else _Wait.NEXT

    def _begin(self, wait: _Wait, seconds: float | None) -> None:
        self._stop_timer()
        self._wait = wait
        self._table.waiting(self)
        if seconds is not None:
            self._timer = self.loop.call_later(seconds, self._expired)

    def _expired(self) -> None:
        self._timer = None
        match self._wait:
            case _Wait.HEAD:
                _log.warning("Closed a connection from %s: its request did not arrive in time.", self.origin)
                if self.conn.trailing_data[0]:
                    self._answer("request_timeout", f"The request did not arrive within {self._limits.head:g} seconds.")
                self._close()
            case _Wait.ANSWER_READ if self._reads():
                self._begin(_Wait.ANSWER_READ, self._limits.answer)
            case _Wait.CLOSE if not self._socket.is_closing():
                self._close_socket()
            case _Wait.CLOSE if self._reads():
                self._begin(_Wait.CLOSE, self._limits.answer)
            case _Wait.ANSWER_READ | _Wait.CLOSE:
                _log.warning("Closed a connection from %s: it did not read its answer in time.", self.origin)
                self._socket.abort()
            case _:
                _log.warning("Closed a connection from %s: its body did not arrive in time.", self.origin)
                self._socket.abort()

    def _reads(self) -> bool:
        """Whether the client has read enough of its answer since the last call."""
        before, self._unread = self._unread, self._socket.get_write_buffer_size()
        return before - self._unread >= _LEAST_READ_BYTES

    def _is_closing(self) -> bool:
        return self._wait is _Wait.CLOSE or self._socket.is_closing()

    def _close(self, *, linger: bool = False) -> None:
        """Close as soon as the answer is sent; in the middle of a request only when the client has stopped sending.

        If a server closes a connection with unread bytes, TCP drops the answer (RFC 9112, section 9.6).
        """
        if self._wait is _Wait.CLOSE:
            return
        self._unset_keepalive_if_required()
        self._wait = _Wait.CLOSE
        if self._socket.is_closing():
            self._stop_timer()
        elif linger or self.conn.their_state in {h11.SEND_BODY, h11.ERROR}:
            self._socket.write_eof()
            self.flow.resume_reading()
            self._begin(_Wait.CLOSE, self._limits.close)
        else:
            self._close_socket()

    def _close_socket(self) -> None:
        """Close when the written bytes are sent, if the client reads them."""
        self._unread = self._socket.get_write_buffer_size()
        self._socket.close()
        self._begin(_Wait.CLOSE, self._limits.answer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _answer(self, code: str, detail: str) -> None:
        """Write an error without the API: there is no request that it could answer."""
        error = problem(code, detail)
        body = msgspec.json.encode(error)
        headers = [
            (b"content-type", PROBLEM_JSON.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"retry-after", str(_RETRY_SECONDS).encode()))
        lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}".encode()]
        lines += [name + b": " + value for name, value in common_headers(headers, uuid.uuid4().hex)]
        self._socket.write(b"\r\n".join([*lines, b"", body]))
