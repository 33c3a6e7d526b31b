"""TLS on open connections, as server and as client."""

import asyncio
import ssl
from pathlib import Path

import pytest

from moonmind_appliance.in_container.broker_authority import Authority, make_authority
from moonmind_appliance.in_container.broker_tls import begin_tls, close, end_tls
from moonmind_appliance.in_container.egress_upstream import Failed, Streams

HOST = "chatgpt.com"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority([HOST], tmp_path_factory.mktemp("authority"))


async def both(authority: Authority, client: ssl.SSLContext, name: str = HOST) -> tuple[Streams, Streams]:
    """The two ends of a connection after their handshakes."""
    ends: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            ends.set_result(await end_tls((reader, writer), authority.servers[HOST], 5))
        except OSError as error:
            ends.set_exception(error)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    streams = await asyncio.open_connection("127.0.0.1", port)
    server.close()
    try:
        ours = await begin_tls(streams, client, name, 5)
    except Failed:
        streams[1].close()
        with pytest.raises(OSError):  # noqa: PT011 - its text is OpenSSL's
            await ends
        raise
    return ours, await ends


def trusted(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.ca)


def test_large_data_passes_both_ways(authority: Authority) -> None:
    """More than the buffers take, so that each side must be paused."""
    data = bytes(range(256)) * 20_000

    async def run() -> None:
        (our_reader, our_writer), (their_reader, their_writer) = await both(authority, trusted(authority))

        async def send(writer: asyncio.StreamWriter) -> None:
            writer.write(data)
            await writer.drain()

        sending = asyncio.gather(send(our_writer), send(their_writer))
        await asyncio.sleep(0.05)
        assert await their_reader.readexactly(len(data)) == data
        assert await our_reader.readexactly(len(data)) == data
        await sending
        await asyncio.gather(close(our_writer), close(their_writer))

    asyncio.run(run())


def test_the_end_of_one_side_reaches_the_other(authority: Authority) -> None:
    """What was sent before arrives."""

    async def run() -> None:
        ours, theirs = await both(authority, trusted(authority))
        theirs[1].write(b"last")
        closing = asyncio.create_task(close(theirs[1]))
        assert await ours[0].read() == b"last"
        await asyncio.gather(closing, close(ours[1]))

    asyncio.run(run())


def test_a_certificate_is_checked(authority: Authority, tmp_path: Path) -> None:
    """Its authority, and its name."""
    other = make_authority([HOST], tmp_path)
    for client, name, why in (
        (trusted(other), HOST, "its certificate is not trusted"),
        (trusted(authority), "other.example", "no TLS connection|its certificate is not trusted"),
    ):
        with pytest.raises(Failed, match=why):
            asyncio.run(_ended(authority, client, name))


async def _ended(authority: Authority, client: ssl.SSLContext, name: str) -> None:
    await both(authority, client, name)


def test_a_silent_server_is_a_failure() -> None:
    """The handshake has a time limit."""

    async def run() -> None:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await asyncio.sleep(5)
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        streams = await asyncio.open_connection(*server.sockets[0].getsockname())
        with pytest.raises(Failed, match="no TLS connection"):
            await begin_tls(streams, ssl.create_default_context(), HOST, 0.1)
        server.close()

    asyncio.run(run())
