"""TLS on connections that are already open: the agent's, and those to OpenAI."""

import asyncio
import ssl

from moonmind_appliance.in_container.egress_upstream import Failed, Streams

# The streams' buffers; also the longest head of a request.
_LIMIT = 32 * 1024
_CLOSE_SECONDS = 2.0


class _TlsWriter(asyncio.StreamWriter):
    """Keeps the writer below it: asyncio closes the connection of a writer that is not referenced any more."""

    below: asyncio.StreamWriter


async def end_tls(streams: Streams, context: ssl.SSLContext, seconds: float) -> Streams:
    """Be the TLS server of a connection on which nothing has been read yet.

    Raises:
        OSError: the client did not complete the handshake in time.
    """
    return await _start(streams, context, seconds, None)


async def begin_tls(streams: Streams, context: ssl.SSLContext, host: str, seconds: float) -> Streams:
    """Be the TLS client of a connection to that host; its certificate is checked.

    Raises:
        Failed: the handshake failed.
    """
    try:
        return await _start(streams, context, seconds, host)
    except ssl.SSLCertVerificationError:
        raise Failed("its certificate is not trusted") from None
    except OSError:
        raise Failed("no TLS connection") from None


async def _start(streams: Streams, context: ssl.SSLContext, seconds: float, host: str | None) -> Streams:
    """Not StreamWriter.start_tls: in Python 3.11 its reader would still pause the connection below TLS."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(_LIMIT)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport = await loop.start_tls(
        streams[1].transport,
        protocol,
        context,
        server_side=host is None,
        server_hostname=host,
        ssl_handshake_timeout=seconds,
        ssl_shutdown_timeout=_CLOSE_SECONDS,
    )
    if transport is None:
        raise ConnectionResetError
    protocol.connection_made(transport)
    writer = _TlsWriter(transport, protocol, reader, loop)
    writer.below = streams[1]
    return reader, writer


async def close(writer: asyncio.StreamWriter) -> None:
    """Send what is left, and close. Never raises."""
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
