"""Runs inside the egress container: the agent container's only connection to a network.

It takes the listening socket of the agent container (`egress_listen`), and opens tunnels for CONNECT requests to
allowed hosts. It answers everything else with an error at once, and counts it. It prints `{"ready": true}`, and then
its record as JSON lines. The URL of the operator's proxy comes in a variable of its environment, because it may contain
a password.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from moonmind_appliance.in_container.egress_hello import HELLO_LIMIT, NotThisHost, check_hello
from moonmind_appliance.in_container.egress_record import ALLOWED, FAILED, REFUSED, Entry, Record
from moonmind_appliance.in_container.egress_request import HEAD_LIMIT, Refused, parse_head, printable
from moonmind_appliance.in_container.egress_rules import PROXY_VARIABLE, Rule, find, rule
from moonmind_appliance.in_container.egress_upstream import Failed, OperatorProxy, Streams, connect

_CHUNK = 64 * 1024
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_TICK = 0.25
# Each piece makes the ClientHello be parsed from its beginning.
_MOST_READS = 64
_LARGEST_REST, _REST_SECONDS = 256 * 1024, 1.0


class Limits(NamedTuple):
    """What one agent may use. Times are in seconds.

    `idle`: how long a tunnel may be silent. `half_open`: the same, after one side has ended its direction.
    """

    idle: float
    connections: int = 128
    head: float = 10.0
    hello: float = 15.0
    half_open: float = 60.0


def main(job: dict[str, Any]) -> int:
    """Serve until the container ends.

    The job contains `socket` (where the agent container hands over its listening socket), `seconds` (how long to wait
    for that), `hosts` (of the agent's service), `allow` (the operator's entries), `no_proxy`, `ca_file` (or None) and
    `idle_seconds` (after which a silent tunnel ends).
    """
    return run(job, {"ready": True})


def run(job: dict[str, Any], ready: dict[str, Any], broker: "Callable[[Record, Limits], Broker] | None" = None) -> int:
    """Do the job of `main`, and print `ready` instead. `broker` makes what answers the requests to its own hosts."""
    listener = take_listener(job["socket"], job["seconds"])
    if listener is None:
        sys.stderr.write("The agent container did not hand over its socket.\n")
        return 1
    url = os.environ.pop(PROXY_VARIABLE, "")
    proxy = OperatorProxy.of(url, job["no_proxy"], job["ca_file"]) if url else None
    rules = [rule(host, private=False) for host in job["hosts"]] + [rule(entry) for entry in job["allow"]]
    limits, record = Limits(job["idle_seconds"]), Record(write_line)
    made = None if broker is None else broker(record, limits)
    asyncio.run(EgressProxy(rules, proxy, limits, record, made).serve(listener, ready))
    return 0


def write_line(line: str) -> None:
    """Print at once."""
    sys.stdout.write(line)
    sys.stdout.flush()


def take_listener(path: str, seconds: float) -> socket.socket | None:
    """The listening TCP socket that the first caller of a new Unix socket sends; None if none comes in time."""
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiting:
        # It has another name until it listens, so that the other container does not connect too early.
        waiting.bind(f"{path}.new")
        waiting.listen(1)
        waiting.settimeout(seconds)
        Path(f"{path}.new").rename(path)
        try:
            connection, _ = waiting.accept()
        except TimeoutError:
            return None
        finally:
            # From here on the agent's container cannot send anything else.
            Path(path).unlink(missing_ok=True)
    with connection:
        connection.settimeout(seconds)
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        if not descriptors:
            return None
        listener = socket.socket(fileno=descriptors[0])
        connection.sendall(b"T")
    return listener


class Tunnel:
    """One connection of the agent. `entry` is None until its target is known; times are of the monotonic clock."""

    def __init__(self, writer: asyncio.StreamWriter, limits: Limits) -> None:
        self.writers = [writer]
        self.entry: Entry | None = None
        self.idle = limits.idle
        self._limits = limits
        self.heard = time.monotonic()

    def moved(self, size: int, *, sent: bool) -> None:
        """Count bytes."""
        self.heard = time.monotonic()
        if self.entry is not None:
            if sent:
                self.entry.sent += size
            else:
                self.entry.received += size
            self.entry.changed = True

    def half_closed(self) -> None:
        """One side has ended its direction."""
        self.heard = time.monotonic()
        self.idle = min(self.idle, self._limits.half_open)

    def abort(self) -> None:
        """Close both sides at once."""
        for writer in self.writers:
            writer.transport.abort()


class Broker(Protocol):
    """Ends the TLS connections to its hosts, and answers their requests."""

    def serves(self, host: str, port: int) -> bool:
        """Whether the target is one of its hosts."""

    async def serve(self, tunnel: Tunnel, host: str, agent: Streams, connect: Callable[[], Awaitable[Streams]]) -> None:
        """Serve the open tunnel until its end. `connect` connects to the target, or raises Refused or Failed."""


class EgressProxy:
    """Accepts connections and tunnels them to allowed targets."""

    def __init__(
        self,
        rules: list[Rule],
        proxy: OperatorProxy | None,
        limits: Limits,
        record: Record,
        broker: Broker | None = None,
    ) -> None:
        self._rules = rules
        self._proxy = proxy
        self._limits = limits
        self._record = record
        self._broker = broker
        self._tunnels: set[Tunnel] = set()

    async def serve(self, listener: socket.socket, ready: dict[str, Any]) -> None:
        """Serve; ends only by cancellation. Prints `ready` when connections are accepted."""
        # Accepted sockets inherit it. asyncio sets it only on sockets that were made with their protocol's number.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = await asyncio.start_server(self._accepted, sock=listener, limit=_CHUNK)
        write_line(json.dumps(ready) + "\n")
        async with server:
            while True:
                await asyncio.sleep(_TICK)
                self._tick()

    def _tick(self) -> None:
        now = time.monotonic()
        for tunnel in tuple(self._tunnels):
            if now - tunnel.heard > tunnel.idle:
                tunnel.abort()
        self._record.flush()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = Tunnel(writer, self._limits)
        try:
            self._admit(tunnel)
            await self._handle(tunnel, reader, writer)
        except Refused as refused:
            self._record.count(refused.shown or "?", REFUSED, refused.reason)
            await answer_error(writer, refused.status, refused.reason)
            if tunnel in self._tunnels:
                await discard(reader)
        except (OSError, asyncio.IncompleteReadError):
            pass  # one side disconnected
        finally:
            self._tunnels.discard(tunnel)
            for each in tunnel.writers:
                each.close()

    def _admit(self, tunnel: Tunnel) -> None:
        if len(self._tunnels) >= self._limits.connections:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
        self._tunnels.add(tunnel)

    async def _handle(self, tunnel: Tunnel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await _read_head(reader, self._limits.head)
        if head is None:
            return
        host, port = parse_head(head)
        target = f"{host}:{port}"
        allowed = find(self._rules, host, port)
        if allowed is None:
            # Shown as it was sent: redaction finds secrets by their exact bytes.
            raise Refused(HTTPStatus.FORBIDDEN, "not on the allow-list", printable(head.split(b" ")[1]))
        if self._broker is not None and self._broker.serves(host, port):
            writer.write(_ESTABLISHED)
            await self._broker.serve(tunnel, host, (reader, writer), lambda: connect(allowed, host, port, self._proxy))
            return
        try:
            upstream = await connect(allowed, host, port, self._proxy)
        except Failed as failed:
            self._record.count(target, FAILED, str(failed))
            await answer_error(writer, HTTPStatus.BAD_GATEWAY, str(failed))
            return
        tunnel.writers.append(upstream[1])
        writer.write(_ESTABLISHED)
        await writer.drain()
        first = await _read_hello(reader, host, self._limits.hello) if allowed.tls else b""
        if isinstance(first, str):
            self._record.count(target, REFUSED, first)
            tunnel.abort()
            return
        tunnel.entry = self._record.count(target, ALLOWED)
        if first:
            tunnel.moved(len(first), sent=True)
            upstream[1].write(first)
        await self._both_ways(tunnel, (reader, writer), upstream)

    async def _both_ways(self, tunnel: Tunnel, agent: Streams, upstream: Streams) -> None:
        pumps = [
            asyncio.create_task(_pump(tunnel, agent[0], upstream[1], sent=True)),
            asyncio.create_task(_pump(tunnel, upstream[0], agent[1], sent=False)),
        ]
        try:
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            if tunnel.entry is not None:
                self._record.touch(tunnel.entry)


async def _read_head(reader: asyncio.StreamReader, seconds: float) -> bytes | None:
    """The head of the request without its last empty line; None if nothing was sent.

    Raises:
        Refused: it is too large, too slow or malformed, or something follows it.
    """
    head = b""
    try:
        async with asyncio.timeout(seconds):
            while True:
                data = await reader.read(HEAD_LIMIT + 1 - len(head))
                if not data and not head:
                    return None
                if not data:
                    raise Refused(HTTPStatus.BAD_REQUEST, "the request is incomplete", _first_line(head))
                head += data
                if b"\0" in data or head.count(b"\n") != head.count(b"\r\n"):
                    raise Refused(HTTPStatus.BAD_REQUEST, "the request contains an invalid byte", _first_line(head))
                ends = head.find(b"\r\n\r\n")
                if 0 <= ends < len(head) - 4:
                    raise Refused(HTTPStatus.BAD_REQUEST, "something follows the request", _first_line(head))
                if ends >= 0:
                    return head[:ends]
                if len(head) > HEAD_LIMIT:
                    raise Refused(
                        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too large", _first_line(head)
                    )
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the request was too slow", _first_line(head)) from None


def _first_line(head: bytes) -> str:
    return printable(head.partition(b"\n")[0].rstrip(b"\r"))


async def _read_hello(reader: asyncio.StreamReader, host: str, seconds: float) -> bytes | str:
    """The bytes with the complete TLS ClientHello for that host, or a text that says why the tunnel must not begin."""
    data = b""
    try:
        async with asyncio.timeout(seconds):
            for _ in range(_MOST_READS):
                if check_hello(data, host):
                    return data
                more = await reader.read(HELLO_LIMIT - len(data))
                if not more:
                    return "not TLS"
                data += more
    except TimeoutError:
        return "no TLS ClientHello"
    except NotThisHost as error:
        return str(error)
    return "the TLS ClientHello came in too many pieces"


async def _pump(tunnel: Tunnel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, sent: bool) -> None:
    """Copy until the end of one side, then signal the end to the other."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
        tunnel.moved(len(data), sent=sent)
    tunnel.half_closed()
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()


async def discard(reader: asyncio.StreamReader, left: int = _LARGEST_REST) -> None:
    """Read what the agent still sends, for a moment, up to `left` bytes: unread bytes could lose the answer."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_REST_SECONDS):
            while left > 0 and (data := await reader.read(_CHUNK)):
                left -= len(data)


async def answer_error(writer: asyncio.StreamWriter, status: HTTPStatus, reason: str) -> None:
    """Answer with an error and close. The body is for people who read the output of a tool."""
    body = f"{reason}\n" if status is HTTPStatus.BAD_GATEWAY else f"The agent's wall refuses this: {reason}.\n"
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(5):
            writer.write(f"{head}Connection: close\r\n\r\n{body}".encode())
            await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
