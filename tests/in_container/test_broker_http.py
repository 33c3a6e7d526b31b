"""HTTP of the broker's two sides on plain streams: limits, framing, and one parser for each request."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from moonmind_appliance.in_container.broker_http import AgentSide, ServiceSide
from moonmind_appliance.in_container.broker_tls import close
from moonmind_appliance.in_container.egress_proxy import Limits, Tunnel
from moonmind_appliance.in_container.egress_request import Refused
from moonmind_appliance.in_container.egress_upstream import Failed, Streams

HEAD = b"POST /x HTTP/1.1\r\nHost: h\r\n"


class Other:
    """The other end of a connection: sends bytes, and keeps what it gets."""

    def __init__(self, *sent: bytes) -> None:
        self.sent = sent
        self.got = b""

    async def connect(self) -> tuple[Tunnel, Streams]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        streams = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=32 * 1024)
        server.close()
        return Tunnel(streams[1], Limits(5.0)), streams

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for part in self.sent:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)
            writer.write_eof()
            while data := await reader.read(65536):
                self.got += data
        except OSError:
            pass  # the broker does not read further
        finally:
            writer.close()


async def read_request(*sent: bytes, limit: int = 1000) -> tuple[bytes, bytes]:
    tunnel, streams = await Other(*sent).connect()
    agent = AgentSide(tunnel, streams, 1.0)
    try:
        head = await agent.request()
        assert head is not None
        return head.target, b"".join([data async for data in agent.body(limit)])
    finally:
        await close(streams[1])


@pytest.mark.parametrize(
    "sent",
    [
        [HEAD + b"Content-Length: 4\r\n\r\nbody"],
        [HEAD + b"Content-Length: 4\r\n\r\n", b"bo", b"dy"],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\n\r\n"],
        [*(bytes([byte]) for byte in HEAD), b"Content-Length: 4\r\n\r\nbody"],
    ],
)
def test_a_request_is_read_however_it_is_sent(sent: list[bytes]) -> None:
    """With a length or in chunks, in one piece or in many."""
    assert asyncio.run(read_request(*sent)) == (b"/x", b"body")


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (HEAD + b"Content-Length: 1001\r\n\r\n" + b"a" * 1001, "the body is too large"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 1001, "the body comes in too small pieces"),
        (HEAD + b"Content-Length: 4\r\n\r\nbo", "the body is malformed"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n", "the body is malformed"),
        (HEAD + b"Content-Length: 4\r\n\r\nbodyPOST", "something follows the request"),
        (HEAD + b"Content-Length: 4\r\n", "the request is incomplete"),
        (HEAD + b"X: " + b"a" * 40_000, "the request is too large"),
    ],
)
def test_a_request_beyond_its_limits_is_refused(sent: bytes, why: str) -> None:
    """Also if it ends too early."""
    with pytest.raises(Refused, match=why):
        asyncio.run(read_request(sent, limit=2000 if b"1\r\na" in sent else 1000))


def test_a_connection_without_a_request_is_no_error() -> None:
    """Codex opens some in advance."""

    async def run() -> None:
        tunnel, streams = await Other().connect()
        assert await AgentSide(tunnel, streams, 1.0).request() is None
        await close(streams[1])

    asyncio.run(run())


async def _parts(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def ask(other: Other, *body: bytes, framing: tuple[bytes, bytes]) -> tuple[int, bytes, bool]:
    """Status and body of the answer to a request, and whether the connection can be used again."""
    tunnel, streams = await other.connect()
    service = ServiceSide(tunnel, streams)
    try:
        answer = await service.request(b"POST", b"/x", [(b"A", b"1"), (b"host", b"h"), framing], _parts(*body))
        found = b"".join([data async for data in service.answer()])
        return answer.status_code, found, service.is_usable()
    finally:
        await close(streams[1])
        await asyncio.sleep(0.02)


def test_a_request_is_sent_as_it_is() -> None:
    """Host stays where it was, and chunks stay chunks."""
    other = Other(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert asyncio.run(ask(other, b"one", b"two", framing=(b"Transfer-Encoding", b"chunked")))[:2] == (200, b"ok")
    assert other.got == (
        b"POST /x HTTP/1.1\r\nA: 1\r\nhost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
    ],
)
def test_a_connection_is_not_used_again_if_its_end_is_not_certain(answer: bytes) -> None:
    """An answer that follows without a request could be taken for the next one's."""
    assert asyncio.run(ask(Other(answer), framing=(b"Content-Length", b"0"))) == (200, b"ok", False)


@pytest.mark.parametrize("answer", [b"", b"x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"])
def test_an_answer_that_is_not_complete_is_a_failure(answer: bytes) -> None:
    """It is not taken for the end."""
    with pytest.raises(Failed):
        asyncio.run(ask(Other(answer), framing=(b"Content-Length", b"0")))
