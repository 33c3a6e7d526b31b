"""What several benches measure with: a load client, `serve` on a data folder of its own, figures of a process."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from msgspec import structs

from moonmind_appliance.store import Store
from moonmind_appliance.store.shards import ShardChange
from tests.faults.figures import quantile
from tests.faults.process import Usage, usage_of
from tests.wide_limits import WIDE_LIMITS

ROOT = Path(__file__).parents[2]
BASE = "/api/spec-automation"
SUBMISSION = json.dumps(
    {"repository": "acme/shop", "specify_text": "# Basket\n\n- Goal: people can keep what they want to buy\n"}
).encode()
SHARDS = 3
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 120


class Server(NamedTuple):
    """A server's process id and port, and the seconds from its start until it answered."""

    pid: int
    port: int
    started_in: float = 0.0


class Times(NamedTuple):
    """Milliseconds that answers took."""

    p50: float
    p99: float
    worst: float
    count: int


def times(seconds: Sequence[float]) -> Times:
    """The figures of these durations."""
    p50, p99, worst = (quantile(seconds, share) * 1000 for share in (0.5, 0.99, 1.0))
    return Times(p50, p99, worst, len(seconds))


def processor_seconds(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS


def machine_busy_seconds() -> float:
    """The processor time that all processes together have used, over all cores (proc(5): user, nice, system, irqs)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]]
    return (sum(fields) - fields[3] - fields[4]) / _CLOCK_TICKS


def highest_mib(pid: int) -> float:
    """The highest resident memory since the start, or since `forget_highest`."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget_highest(pid: int) -> None:
    """Let `highest_mib` start again from the memory of now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


class Quiet(NamedTuple):
    """A process while nothing is asked of it: milliseconds of processor time for each second, and what it has."""

    processor_ms: float
    usage: Usage


async def quiet(pid: int, seconds: float) -> Quiet:
    """Watch a process for that long."""
    before, began = processor_seconds(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    spent = (processor_seconds(pid) - before) * 1000 / (time.perf_counter() - began)
    return Quiet(spent, usage_of(pid))


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def head_of(method: str, path: str, token: str = "", body: bytes = b"") -> bytes:
    """A request's bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection:
    """A connection that stays open, for one request at a time. Use as an asynchronous context manager."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, request: bytes) -> bytes:
        """The answer's body.

        Raises:
            RuntimeError: a status other than 2xx.
        """
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        if head[9:10] != b"2":
            raise RuntimeError(head.decode() + body.decode())
        return body


async def ask(port: int, request: bytes) -> bytes:
    """One request on a new connection; the answer's body."""
    async with Connection(port) as connection:
        return await connection.ask(request)


async def ask_json(port: int, request: bytes) -> Any:
    """One request on a new connection; the answer."""
    return json.loads(await ask(port, request))


async def load(
    port: int, requests: Sequence[bytes], *, connections: int = 1, seconds: float = 0.0, each: int = 1
) -> list[float]:
    """Send the requests in turn on each connection, for so many seconds and at least `each` times.

    Returns:
        the seconds of each request until its answer.

    Raises:
        RuntimeError: a status other than 2xx.
        OSError: no connection.
    """
    spent: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        number = 0
        async with Connection(port) as connection:
            while number < each or time.perf_counter() < end:
                began = time.perf_counter()
                await connection.ask(requests[number % len(requests)])
                spent.append(time.perf_counter() - began)
                number += 1

    await asyncio.gather(*(client() for _ in range(connections)))
    return spent


def wait_for_answer(process: "subprocess.Popen[bytes]", port: int, path: str) -> float:
    """Wait until a process that was just started answers at the path; the seconds that it took."""
    began = time.perf_counter()
    while True:
        try:
            asyncio.run(ask(port, head_of("GET", path)))
        except OSError:
            if process.poll() is not None or time.perf_counter() - began > _START_SECONDS:
                raise RuntimeError(f"{process.args!r} did not start") from None
            time.sleep(0.01)
        else:
            return time.perf_counter() - began


@contextmanager
def server(arguments: list[str], variables: dict[str, str], path: str, port: int) -> Iterator[Server]:
    """A Python program that serves, once it answers at the path."""
    started = subprocess.Popen(
        [sys.executable, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | variables,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield Server(started.pid, port, wait_for_answer(started, port, path))
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(60)


@contextmanager
def serving(data: Path) -> Iterator[Server]:
    """`serve` on that data folder, without an engine and with default settings."""
    port = free_port()
    variables = {"MOONMIND_DATA_DIR": str(data), "MOONMIND_PORT": str(port), "MIN_FREE_DISK": "1k"}
    variables |= WIDE_LIMITS
    variables |= {"DOCKER_HOST": f"unix://{data}/none.sock", "MOONMIND_ENV_FILE": os.devnull}
    with server(["-m", "moonmind_appliance.cli", "serve"], variables, f"{BASE}/health", port) as made:
        yield made


def paused_folder(data: Path, callers: int = 1) -> list[str]:
    """Make a data folder whose shards are paused, so that no worker takes a run; a token for each caller."""
    store = Store.open(data)
    tokens = [store.tokens.create(f"caller{n}", operator=True, expires_at=None) for n in range(callers)]
    pause(store, SHARDS)
    store.close()
    return tokens


def pause(store: Store, shards: int) -> None:
    """Pause that many shards."""
    for shard in range(shards):
        store.shards.change(shard, lambda state: ShardChange(structs.replace(state, paused_at=datetime.now(UTC))))
