"""The egress proxy in this process, in front of a server that returns what it gets."""

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

from moonmind_appliance.in_container.egress_proxy import EgressProxy, Limits
from moonmind_appliance.in_container.egress_record import Record
from moonmind_appliance.in_container.egress_rules import Rule, rule
from moonmind_appliance.in_container.egress_upstream import OperatorProxy

_SECONDS = 10


class Loop:
    """An event loop in a thread of its own; a context manager."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        # Python 3.11 logs an error for each cancelled handler of a stream.
        self.loop.set_exception_handler(lambda *_: None)
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_SECONDS)

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call(_end_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_SECONDS)
        self.loop.close()


async def _end_all() -> None:
    """Cancel all tasks, and wait until they have ended."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.01)


async def listen(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], **options: Any) -> int:
    """Serve at a free port of the loopback interface until the task is cancelled; returns the port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)

    async def forever() -> None:
        async with server:
            await server.serve_forever()

    _running.add(asyncio.get_running_loop().create_task(forever()))
    return int(server.sockets[0].getsockname()[1])


# The loop itself keeps no reference to its tasks.
_running: set[asyncio.Task[None]] = set()


class Served(Loop):
    """The proxy at `port`, and the server at `echo`, which the rules allow besides `entries`.

    `reached` is the number of connections to that server.
    """

    def __init__(
        self, entries: Sequence[str] = (), *, limits: Limits | None = None, proxy: OperatorProxy | None = None
    ) -> None:
        super().__init__()
        self._entries = entries
        self._limits = limits or Limits(5.0)
        self._proxy = proxy
        self.lines: list[dict[str, Any]] = []
        self.echo = self.reached = 0
        self.port = 0

    def __enter__(self) -> Self:
        super().__enter__()
        self.echo = self.call(self._start_echo())
        rules: list[Rule] = [rule(f"127.0.0.1:{self.echo}"), rule(f"localhost:{self.echo}"), *map(rule, self._entries)]
        self.listener = listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._rules = rules
        record = Record(lambda line: self.lines.append(json.loads(line)))
        self.begin(EgressProxy(rules, self._proxy, self._limits, record).serve(listener, {"ready": True}))
        return self

    async def _start_echo(self) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.reached += 1
            try:
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
                writer.write(b"end")
            except OSError:
                pass
            finally:
                writer.close()

        return await listen(serve)

    def allow_tls(self, host: str, port: int) -> None:
        """Allow what an entry without a port would allow, at another port."""
        self._rules.insert(0, Rule(host, port, tls=True, local=True))

    def connect(self) -> socket.socket:
        """A connection of the agent."""
        return socket.create_connection(("127.0.0.1", self.port), _SECONDS)

    def ask(self, request: bytes) -> bytes:
        """Everything that the proxy answers to these bytes, until it closes."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_all(connection)

    def tunnel(self, target: str = "") -> socket.socket:
        """An open tunnel."""
        connection = self.connect()
        name = target or f"127.0.0.1:{self.echo}"
        connection.sendall(f"CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        assert connection.recv(1000) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        return connection

    def recorded(self, outcome: str) -> dict[str, str]:
        """The reasons of the targets with that outcome."""
        return {line["target"]: line["reason"] for line in self.lines if line["outcome"] == outcome}


def read_all(connection: socket.socket) -> bytes:
    """All bytes until the end; a reset is an end."""
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except ConnectionResetError:
        pass
    return found
