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
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
import uvicorn
from litestar import Litestar, get, post

from moonmind_appliance.models import RunStatus
from moonmind_appliance.store import Store
from tests.bench.measure import (
    BASE,
    SUBMISSION,
    Server,
    ask,
    ask_json,
    free_port,
    head_of,
    load,
    paused_folder,
    processor_seconds,
    server,
    serving,
    times,
)

_ROWS = 12


@dataclass
class Figures:
    """What one kind of request did in all rounds."""

    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    processor_ms: list[float] = field(default_factory=list)

    def line(self, name: str, beside: "Figures | None" = None) -> str:
        """The figures, and their ratios to those of another kind."""
        took = times(self.seconds)
        rate, processor = statistics.median(self.rates), statistics.median(self.processor_ms)
        text = f"  {name:28} {rate:7.0f}/s   p50 {took.p50:7.2f} ms   p99 {took.p99:7.2f} ms"
        text += f"   processor {processor:6.3f} ms"
        if beside is not None:
            rates = rate / statistics.median(beside.rates)
            text += f"   rate {rates:.2f}, processor {processor / statistics.median(beside.processor_ms):.2f}"
        return text


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


def measure(figures: Figures, asked: Server, requests: list[bytes], *, seconds: float, connections: int) -> None:
    """Add one round."""
    before, began = processor_seconds(asked.pid), time.perf_counter()
    spent = asyncio.run(load(asked.port, requests, seconds=seconds, connections=connections))
    took = time.perf_counter() - began
    figures.seconds += spent
    figures.rates.append(len(spent) / took)
    figures.processor_ms.append((processor_seconds(asked.pid) - before) * 1000 / len(spent))


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
        folder, port = Path(name), free_port()
        data = folder / "data"
        (token,) = paused_folder(data)
        handlers = [str(Path(__file__).resolve()), "--bare", str(port), name]
        with serving(data) as appliance, server(handlers, {}, "/read/100", port) as other:
            compare(chosen, appliance, other, token, data)


def compare(chosen: argparse.Namespace, appliance: Server, other: Server, token: str, data: Path) -> None:
    """Print a line for each kind of request and for its bare handler."""
    submit, write = head_of("POST", f"{BASE}/runs", token, SUBMISSION), head_of("POST", "/write", "", SUBMISSION)
    asyncio.run(load(appliance.port, [submit], each=60))
    listing = head_of("GET", f"{BASE}/runs?limit=50", token)
    newest = asyncio.run(ask_json(appliance.port, listing))["items"]
    status = [head_of("GET", f"{BASE}/runs/{run['run_id']}", token) for run in newest]

    def compared(name: str, request: list[bytes], plain: bytes | None, connections: int) -> None:
        if plain is None:
            size = len(asyncio.run(ask(appliance.port, request[0])))
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
    missing = chosen.queued - _queued(data)
    if missing > 0:
        asyncio.run(load(appliance.port, [submit], connections=16, each=-(-missing // 16)))
    compared(f"submission, {_queued(data):,} runs queued", [submit], write, chosen.connections)
    compared("status read, long queue", status, None, chosen.connections)


def _queued(data: Path) -> int:
    store = Store.open(data)
    try:
        return store.runs.counts().get(RunStatus.QUEUED, 0)
    finally:
        store.close()


if __name__ == "__main__":
    main()
