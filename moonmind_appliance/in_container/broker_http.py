"""HTTP/1.1 on the two sides of the login broker, by h11.

Each request has a parser of its own, so that nothing is carried over.
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import TypeAlias

from moonmind_appliance.in_container.broker_request import BODY_LIMIT, HEAD_LIMIT, Headers, end_to_end
from moonmind_appliance.in_container.egress_proxy import Tunnel
from moonmind_appliance.in_container.egress_request import Refused
from moonmind_appliance.in_container.egress_upstream import Failed, Streams

# Python starts without site packages; this is where the image's distribution has them.
sys.path.append("/usr/lib/python3/dist-packages")

import h11

Head: TypeAlias = h11.Request
AnswerHead: TypeAlias = h11.Response
# Python itself raises ValueError for a number of thousands of digits.
_MALFORMED = (h11.ProtocolError, ValueError)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CHUNK = 64 * 1024
# Each piece takes some microseconds, in which no other connection is served.
_PIECES, _LEAST_PIECE = 1000, 64
_ANSWER_HEAD_LIMIT = 64 * 1024


class AgentSide:
    """The agent's connection after its TLS has been ended: one request after the other."""

    def __init__(self, tunnel: Tunnel, streams: Streams, head_seconds: float) -> None:
        self._tunnel = tunnel
        self._reader, self._writer = streams
        self._head_seconds = head_seconds
        self._http = h11.Connection(h11.SERVER)
        self.has_answer = False

    async def request(self) -> Head | None:
        """The head of the next request; None if there is none.

        Raises:
            Refused: it is too large, too slow or malformed.
        """
        self.has_answer = False
        head = await self._head()
        if head is None:
            return None
        # h11 also accepts a line feed alone, and other control characters in a value.
        if not head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r") or _CONTROL.search(head):
            raise Refused(HTTPStatus.BAD_REQUEST, "the request contains an invalid byte")
        if b"\n " in head or b"\n\t" in head:
            raise Refused(HTTPStatus.BAD_REQUEST, "a header is folded")
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        try:
            self._http.receive_data(head)
            event = self._http.next_event()
        except _MALFORMED:
            raise Refused(HTTPStatus.BAD_REQUEST, "the request is malformed") from None
        if not isinstance(event, h11.Request) or event.http_version != b"1.1":
            raise Refused(HTTPStatus.BAD_REQUEST, "not a request of HTTP/1.1")
        return event

    async def _head(self) -> bytes | None:
        # The time limit begins with the first byte: a connection may be silent between two requests.
        head = await self._reader.read(1)
        if not head:
            return None
        try:
            async with asyncio.timeout(self._head_seconds):
                head += await self._reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the request was too slow") from None
        except asyncio.LimitOverrunError:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too large") from None
        except asyncio.IncompleteReadError:
            raise Refused(HTTPStatus.BAD_REQUEST, "the request is incomplete") from None
        self._tunnel.moved(len(head), sent=True)
        return head

    async def body(self, limit: int = BODY_LIMIT) -> AsyncIterator[bytes]:
        """The parts of the request's body.

        Raises:
            Refused: it is too large or malformed, or something follows it.
        """
        total = pieces = 0
        while True:
            try:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    data = await self._reader.read(_CHUNK)
                    self._tunnel.moved(len(data), sent=True)
                    self._http.receive_data(data)
                    continue
            except _MALFORMED:
                raise Refused(HTTPStatus.BAD_REQUEST, "the body is malformed") from None
            if isinstance(event, h11.Data):
                total, pieces = total + len(event.data), pieces + 1
                if total > limit:
                    raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")
                if pieces > _PIECES and total < pieces * _LEAST_PIECE:
                    raise Refused(HTTPStatus.BAD_REQUEST, "the body comes in too small pieces")
                yield bytes(event.data)
            elif self._http.trailing_data[0]:
                raise Refused(HTTPStatus.BAD_REQUEST, "something follows the request")
            else:
                return

    async def answer(self, status: int, headers: Headers, reason: bytes) -> None:
        """Send the head of the answer."""
        self.has_answer = True
        # No other request can follow one whose body is not read to its end.
        more = [(b"Connection", b"close")] if self.is_sending() else []
        await self._send(h11.Response(status_code=status, headers=[*end_to_end(headers), *more], reason=reason))

    async def send(self, data: bytes) -> None:
        """Send a part of the answer's body."""
        await self._send(h11.Data(data=data))

    async def end(self) -> bool:
        """End the answer. Whether another request may follow."""
        await self._send(h11.EndOfMessage())
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    def is_sending(self) -> bool:
        """Whether a part of the request's body may still come."""
        return self._http.their_state is h11.SEND_BODY

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event) or b""
        self._writer.write(data)
        await self._writer.drain()
        self._tunnel.moved(len(data), sent=False)


class ServiceSide:
    """A connection to OpenAI."""

    def __init__(self, tunnel: Tunnel, streams: Streams) -> None:
        self._tunnel = tunnel
        self._reader, self._writer = streams
        self._http = h11.Connection(h11.CLIENT)

    def is_usable(self) -> bool:
        """Whether another request may be sent."""
        done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        return done and not self._http.trailing_data[0] and not self._reader.at_eof() and not self._writer.is_closing()

    async def request(self, method: bytes, target: bytes, headers: Headers, body: AsyncIterator[bytes]) -> AnswerHead:
        """Send a request; returns the head of its answer.

        Raises:
            Refused: of `body`.
            Failed: there is no answer.
        """
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_ANSWER_HEAD_LIMIT)
        self._http.send(h11.Request(method=method, target=target, headers=list(headers)))
        # Not h11's own bytes, as it moves Host to the front.
        lines = [b"%s %s HTTP/1.1" % (method, target), *(b"%s: %s" % each for each in headers), b"", b""]
        self._writer.write(b"\r\n".join(lines))
        sending, answering = asyncio.create_task(self._send(body)), asyncio.create_task(self._answer_head())
        try:
            # OpenAI may refuse a request, and close the connection, before it has read the body.
            await asyncio.wait({sending, answering}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and isinstance(refused := sending.exception(), Refused):
                raise refused
            return await answering
        except (OSError, *_MALFORMED):
            raise Failed("the connection to it ended") from None
        finally:
            for task in (sending, answering):
                task.cancel()
            await asyncio.gather(sending, answering, return_exceptions=True)

    async def _send(self, body: AsyncIterator[bytes]) -> None:
        async for data in body:
            await self._write(self._http.send(h11.Data(data=data)))
        await self._write(self._http.send(h11.EndOfMessage()))

    async def _answer_head(self) -> AnswerHead:
        while isinstance(event := await self._event(), h11.InformationalResponse):
            pass
        if not isinstance(event, h11.Response):
            raise Failed("its answer is not HTTP")
        return event

    async def answer(self) -> AsyncIterator[bytes]:
        """The parts of the answer's body. Raises Failed if it ends too early."""
        try:
            while isinstance(event := await self._event(), h11.Data):
                yield bytes(event.data)
        except (OSError, *_MALFORMED):
            raise Failed("the connection to it ended") from None

    async def _write(self, data: bytes | None) -> None:
        self._writer.write(data or b"")
        await self._writer.drain()

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._reader.read(_CHUNK)
            self._tunnel.moved(0, sent=False)
            self._http.receive_data(data)
        return event
