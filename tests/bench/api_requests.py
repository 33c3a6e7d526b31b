"""Requests to `serve` beside the same requests to a bare Litestar handler, under the same server on the same machine.

- a status read and a list page: the bare handler answers with as many bytes, encoded from a structure each time;
- a submission, while all shards are paused, so that the workers sleep: the bare handler makes one commit of 12 rows
  with `synchronous = FULL` in a thread, and answers 202. With an empty queue, and again when `--queued` runs wait.

Both are processes of their own, the client is a third one with some connections that stay open. Rounds alternate. Each
line has requests a second, the 50th and 99th percentile of the time to an answer, the processor time that the server's
process used for each request (it depends less on what else the machine does), and the ratios to the bare handler.

Run it by itself: `python tests/bench/api_requests.py [--seconds 2] [--rounds 3] [--connections 16] [--queued 10000]`.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import msgspec  # noqa: E402
import uvicorn  # noqa: E402
from litestar import Litestar, get, post  # noqa: E402
from msgspec import structs  # noqa: E402

from moonmind_appliance.store import Store  # noqa: E402
from moonmind_appliance.store.shards import ShardChange  # noqa: E402

BASE = "/api/spec-automation"
_BODY = {"repository": "acme/shop", "specify_text": "# Basket\n\n- Goal: people can keep what they want to buy\n"}
_ROWS = 12
SHARDS = 3
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Figures:
    """What one kind of request did in all rounds."""

    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    processor_ms: list[float] = field(default_factory=list)

    def line(self, name: str, beside: "Figures | None" = None) -> str:
        """The figures, and their ratios to those of another kind."""
        cut = statistics.quantiles(self.seconds, n=100, method="inclusive")
        rate, processor = statistics.median(self.rates), statistics.median(self.processor_ms)
        text = f"  {name:28} {rate:7.0f}/s   p50 {cut[49] * 1000:7.2f} ms   p99 {cut[98] * 1000:7.2f} ms"
        text += f"   processor {processor:6.3f} ms"
        if beside is not None:
            rates = rate / statistics.median(beside.rates)
            text += f"   rate {rates:.2f}, processor {processor / statistics.median(beside.processor_ms):.2f}"
        return text


class Server(NamedTuple):
    """A server's process id and port."""

    pid: int
    port: int


class Answer(msgspec.Struct):
    """What the bare handlers answer."""

    items: list[str]


def bare(port: int, folder: Path) -> None:
    """Serve the bare handlers."""
    database = folder / "bare.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")

    @get("/read/{size:int}")
    async def read(size: int) -> Answer:
        # About as many fields as a real answer has.
        return Answer(["x" * 30] * (size // 33))

    @post("/write", sync_to_thread=True, status_code=202)
    def write(data: dict[str, Any]) -> Answer:
        connection = sqlite3.connect(database, isolation_level=None, timeout=60)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(_ROWS):
            connection.execute("INSERT INTO rows (text) VALUES (?)", (data["specify_text"],))
        connection.execute("COMMIT")
        connection.close()
        return Answer(["x" * 30] * 4)

    uvicorn.run(
        Litestar([read, write], openapi_config=None),
        port=port,
        http="h11",
        ws="none",
        log_level="error",
        access_log=False,
    )


@contextmanager
def process(arguments: list[str], variables: dict[str, str], path: str, port: int) -> Iterator[int]:
    """A server; its process id, when it answers at the path."""
    started = subprocess.Popen(
        [sys.executable, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | variables,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        give_up_at = time.monotonic() + 60
        while True:
            try:
                asyncio.run(_load(port, [head_of("GET", path)], seconds=0.0, connections=1))
                break
            except OSError:
                if started.poll() is not None or time.monotonic() > give_up_at:
                    raise RuntimeError(f"{arguments} did not start") from None
                time.sleep(0.05)
        yield started.pid
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(60)


def head_of(method: str, path: str, token: str = "", body: bytes = b"") -> bytes:
    """A request's bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _load(port: int, requests: list[bytes], *, seconds: float, connections: int) -> tuple[list[float], int]:
    """Send the requests in turn on each connection for that long; the times to an answer, and the last answer's size.

    Raises:
        RuntimeError: a status other than 2xx.
        OSError: no connection.
    """
    spent: list[float] = []
    size = 0

    async def client() -> None:
        nonlocal size
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = 0
        while True:
            began = time.perf_counter()
            writer.write(requests[number % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            spent.append(time.perf_counter() - began)
            if head[9:10] != b"2":
                raise RuntimeError(head.decode() + body.decode())
            number, size = number + 1, length
            if time.perf_counter() >= end:
                break
        writer.close()

    end = time.perf_counter() + seconds
    await asyncio.gather(*(client() for _ in range(connections)))
    return spent, size


def processor_seconds(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS


def measure(figures: Figures, server: Server, requests: list[bytes], *, seconds: float, connections: int) -> None:
    """Add one round."""
    before, began = processor_seconds(server.pid), time.perf_counter()
    spent, _ = asyncio.run(_load(server.port, requests, seconds=seconds, connections=connections))
    took = time.perf_counter() - began
    figures.seconds += spent
    figures.rates.append(len(spent) / took)
    figures.processor_ms.append((processor_seconds(server.pid) - before) * 1000 / len(spent))


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a round takes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--queued", type=int, default=10_000, help="runs that wait during the second submissions")
    parser.add_argument("--bare", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.bare:
        bare(int(chosen.bare[0]), Path(chosen.bare[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder, ports = Path(name), (free_port(), free_port())
        data = folder / "data"
        store = Store.open(data)
        token = store.tokens.create("bench", operator=True, expires_at=None)
        for shard in range(SHARDS):
            store.shards.change(shard, lambda state: ShardChange(structs.replace(state, paused_at=datetime.now(UTC))))
        store.close()
        variables = {"MOONMIND_DATA_DIR": str(data), "MOONMIND_PORT": str(ports[0]), "MIN_FREE_DISK": "1k"}
        variables |= {"DOCKER_HOST": f"unix://{folder}/none.sock", "MOONMIND_ENV_FILE": os.devnull}
        with (
            process(["-m", "moonmind_appliance.cli", "serve"], variables, f"{BASE}/health", ports[0]) as ours,
            process(
                [str(Path(__file__).resolve()), "--bare", str(ports[1]), name], {}, "/read/100", ports[1]
            ) as theirs,
        ):
            compare(chosen, Server(ours, ports[0]), Server(theirs, ports[1]), token)


def compare(chosen: argparse.Namespace, appliance: Server, other: Server, token: str) -> None:
    """Print a line for each kind of request and for its bare handler."""
    body = json.dumps(_BODY).encode()
    submit, write = head_of("POST", f"{BASE}/runs", token, body), head_of("POST", "/write", "", body)
    for _ in range(60):
        asyncio.run(_load(appliance.port, [submit], seconds=0, connections=1))
    listing = head_of("GET", f"{BASE}/runs?limit=50", token)
    run_ids = _run_ids(appliance.port, listing)
    status = [head_of("GET", f"{BASE}/runs/{run_id}", token) for run_id in run_ids]

    def compared(name: str, request: list[bytes], plain: bytes | None, connections: int) -> None:
        if plain is None:
            _, size = asyncio.run(_load(appliance.port, request[:1], seconds=0, connections=1))
            plain = head_of("GET", f"/read/{size}")
            name = f"{name}, {size:,} bytes"
        ours, theirs = Figures(), Figures()
        for _ in range(chosen.rounds):
            measure(ours, appliance, request, seconds=chosen.seconds, connections=connections)
            measure(theirs, other, [plain], seconds=chosen.seconds, connections=connections)
        print(f"{name}, {connections} connection{'s' * (connections > 1)}")
        print(ours.line("serve", theirs))
        print(theirs.line("bare handler"), flush=True)

    for connections in (1, chosen.connections):
        compared("status read", status, None, connections)
        compared("list of 50", [listing], None, connections)
    compared("submission, short queue", [submit], write, chosen.connections)
    missing = chosen.queued - 60 * 50
    if missing > 0:
        asyncio.run(_until_queued(appliance.port, listing, submit, chosen.queued))
    compared(f"submission, {chosen.queued:,} runs queued", [submit], write, chosen.connections)
    compared("status read, long queue", status, None, chosen.connections)


def _run_ids(port: int, listing: bytes) -> list[str]:
    async def ask() -> list[str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(listing)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        writer.close()
        return [item["run_id"] for item in json.loads(body)["items"]]

    return asyncio.run(ask())


async def _until_queued(port: int, listing: bytes, submit: bytes, wanted: int) -> None:
    sent = 0
    while sent < wanted:
        spent, _ = await _load(port, [submit], seconds=1.0, connections=16)
        sent += len(spent)


if __name__ == "__main__":
    main()
