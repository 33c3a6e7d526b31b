"""An HTTPS proxy that connects tunnels for the simulated hosts to the stand-in, and refuses all others."""

import asyncio
from collections.abc import Sequence

_HEAD_LIMIT = 64 * 1024
_HEAD_SECONDS = 30
_CHUNK = 64 * 1024


class ConnectProxy:
    """Answers `CONNECT host:443` for the simulated hosts; all else gets 403 and is recorded in `refused`."""

    def __init__(self, hosts: Sequence[str], target: tuple[str, int]) -> None:
        self._allowed = {f"{host}:443" for host in hosts}
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.refused: list[str] = []

    async def start(self, address: str, port: int) -> int:
        """Listen; returns the port. Raises OSError if the address cannot be bound."""
        self._server = await asyncio.start_server(self._serve, address, port, limit=_HEAD_LIMIT)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening and end all tunnels. Idempotent."""
        if self._server is not None:
            # A connection accepted during close() would be left incomplete: stop accepting first.
            for listener in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # the client disconnected, or never sent a request
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        target = rest.partition(" ")[0]
        if method != "CONNECT" or target.lower() not in self._allowed:
            self.refused.append(target if method == "CONNECT" else f"{method} {target}")
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        self._writers.add(server_writer)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(_pump(reader, server_writer))
                both_ways.create_task(_pump(server_reader, writer))
        except* OSError:
            pass  # one side disconnected; the group has ended the other direction, too
        finally:
            self._writers.discard(server_writer)
            server_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end of one side, then signal the end to the other."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
