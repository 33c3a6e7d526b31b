"""Many event streams at once: what they cost `serve` while nothing happens, and when they hear of an event.

All streams follow queued runs, 15 for each run and caller, from several addresses of the loopback interface. Printed
are the processor time of `serve` without streams and with them, its memory, and the time from an event until the last
of the streams of its run has it, with all streams open, beside the same with one stream.

Run it by itself: `python tests/bench/streams.py [--streams 1000] [--seconds 10]`.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from moonmind_appliance.api.events import STREAMS_OF_ONE
from tests.bench.measure import BASE, SUBMISSION, Quiet, Server, ask, ask_json, head_of, paused_folder, quiet, serving

_OF_ONE_ADDRESS = 200


class Streams:
    """Open streams, and when each of them received that its run was cancelled."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.received: dict[int, float] = {}
        self.news = asyncio.Event()

    async def open(self, number: int, run_id: str, token: str) -> None:
        """Open one more, and wait for its first bytes."""
        local = f"127.0.0.{2 + number // _OF_ONE_ADDRESS}"
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(local, 0))
        writer.write(head_of("GET", f"{BASE}/runs/{run_id}/events", token))
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        await reader.readuntil(b"event: run\n")

        async def listen() -> None:
            while data := await reader.read(65536):
                if b"run.cancelled" in data:
                    self.received[number] = time.perf_counter()
                    self.news.set()
            writer.close()

        self._tasks.add(asyncio.create_task(listen()))

    def close(self) -> None:
        """Close all."""
        for task in self._tasks:
            task.cancel()


async def last_hears(server: Server, streams: Streams, numbers: range, run_id: str, token: str) -> float:
    """Milliseconds from a cancel of the run until all these streams have its event."""
    streams.received.clear()
    began = time.perf_counter()
    await ask(server.port, head_of("POST", f"{BASE}/runs/{run_id}/cancel", token))
    while not all(number in streams.received for number in numbers):
        streams.news.clear()
        await streams.news.wait()
    return (max(streams.received[number] for number in numbers) - began) * 1000


async def measure(server: Server, tokens: list[str], seconds: float, count: int) -> None:
    """Print the figures."""
    runs = [await submit(server, token) for token in tokens for _ in range(2)]
    await asyncio.sleep(3)
    alone = await quiet(server.pid, seconds)
    print(f"  {'no stream':20} {figures(alone)}", flush=True)
    streams = Streams(server.port)
    await streams.open(count, runs[1], tokens[0])
    one = await last_hears(server, streams, range(count, count + 1), runs[1], tokens[0])
    print(f"  {'one stream':20} hears of an event after {one:6.1f} ms", flush=True)
    for number in range(count):
        caller = number // (STREAMS_OF_ONE - 1)
        await streams.open(number, runs[2 * caller], tokens[caller])
    await asyncio.sleep(3)
    many = await quiet(server.pid, seconds)
    each = (many.processor_ms - alone.processor_ms) / count
    print(f"  {f'{count} streams':20} {figures(many)}   {each:.4f} ms/s for each", flush=True)
    followers = range(STREAMS_OF_ONE - 1)
    spent = await last_hears(server, streams, followers, runs[0], tokens[0])
    print(f"  {'':20} the last of {len(followers)} hears after {spent:6.1f} ms, ratio {spent / one:.2f}")
    streams.close()


def figures(found: Quiet) -> str:
    """The processor time and the memory."""
    return f"processor {found.processor_ms:6.2f} ms/s   memory {found.usage.rss_mib:6.1f} MiB"


async def submit(server: Server, token: str) -> str:
    """The id of a new run."""
    answer = await ask_json(server.port, head_of("POST", f"{BASE}/runs", token, SUBMISSION))
    return str(answer["run_id"])


def main() -> None:
    """Start `serve` and measure it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long nothing happens")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        tokens = paused_folder(data, callers=1 + chosen.streams // (STREAMS_OF_ONE - 1))
        with serving(data) as server:
            asyncio.run(measure(server, tokens, chosen.seconds, chosen.streams))


if __name__ == "__main__":
    main()
