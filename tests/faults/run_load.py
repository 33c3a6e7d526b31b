"""The command `tests/faults/run load`: submissions, status polls and event streams at once, while three workers work.

All clients are on the loopback interface. Submissions are sent at their times whether or not earlier ones were
answered, and their times to answer count from the time at which they were due.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from moonmind_appliance import settings
from moonmind_appliance.attach import attach
from moonmind_appliance.rehearsal.environment import SLUG, RehearsalEnvironment
from tests.faults.collect import open_to_read
from tests.faults.figures import quantile
from tests.faults.process import Usage, usage_of
from tests.journeys.served import Served
from tests.wide_limits import WIDE_LIMITS

API = "/api/spec-automation"
TOKENS = 10
# One address may have 256 connections (`serving/limits.py`): with the polls and streams these fit.
_MOST_SUBMITTING = 50
_SAMPLE_SECONDS = 10.0
_LOCKED = ("database is locked", "held a lock")


class Answer(NamedTuple):
    """A response: its status, its body, and the seconds from the time at which the request was due."""

    status: int
    body: bytes
    seconds: float


@dataclass
class LoadReport:
    """What the clients saw, and what the process used."""

    seconds: float = 0.0
    submissions: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    stored: int = 0
    not_stored: int = 0
    not_accepted: int = 0
    submission_seconds: list[float] = field(default_factory=list)
    polls: dict[str, int] = field(default_factory=dict)
    poll_seconds: list[float] = field(default_factory=list)
    streams: dict[str, int] = field(default_factory=dict)
    streams_at_once: int = 0
    stream_bytes: int = 0
    usage: list[tuple[float, Usage]] = field(default_factory=list)
    busy_workers: list[int] = field(default_factory=list)
    lines_about_locks: list[str] = field(default_factory=list)


class Client:
    """One connection that is kept alive; one request at a time."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"", *, due: float | None = None) -> Answer:
        """Send a request and read its response."""
        due = time.monotonic() if due is None else due
        status, headers = await self.begin(method, path, body)
        reader, _ = self._streams or (None, None)
        assert reader is not None
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Answer(status, content, time.monotonic() - due)

    async def begin(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str]]:
        """Send a request; returns the response's status and headers."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        return int(head[0].split()[1]), headers

    async def read_some(self) -> bytes:
        """The next bytes of a response that does not end."""
        assert self._streams is not None
        return await self._streams[0].read(65536)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Load:
    """The clients of one measurement."""

    def __init__(self, served: Served, tokens: list[str], data_dir: Path, options: argparse.Namespace) -> None:
        self._served, self._tokens, self._data_dir, self._options = served, tokens, data_dir, options
        self._accepted: list[str] = []
        self._busy: list[str] = []
        self._over = asyncio.Event()
        self._open_streams = 0
        self._submissions: Counter[str] = Counter()
        self._polls: Counter[str] = Counter()
        self._stream_ends: Counter[str] = Counter()
        self.report = LoadReport()

    async def run(self) -> LoadReport:
        """Make the workers busy, then put the load on."""
        await self._make_workers_busy()
        began = time.monotonic()
        clients = [asyncio.create_task(self._poll(number)) for number in range(self._options.pollers)]
        clients += [asyncio.create_task(self._follow(number)) for number in range(self._options.streams)]
        sampler = asyncio.create_task(self._sample(began))
        await asyncio.sleep(1)
        await self._submit_all()
        self._over.set()
        await asyncio.wait(clients, timeout=20)
        await sampler
        self.report.seconds = time.monotonic() - began
        self.report.submissions, self.report.polls = dict(self._submissions), dict(self._polls)
        self.report.streams = dict(self._stream_ends)
        self._compare()
        return self.report

    async def _make_workers_busy(self) -> None:
        client = Client(self._served.port, self._tokens[0])
        for number in range(self._options.shards):
            answer = await client.ask("POST", f"{API}/runs", _body(-number - 1))
            assert answer.status == 202, answer
            self._busy.append(json.loads(answer.body)["run_id"])
        client.close()
        self._accepted += self._busy
        for _ in range(600):
            if self._workers_at_work() == self._options.shards:
                return
            await asyncio.sleep(0.1)
        raise TimeoutError("The workers did not begin.")

    def _workers_at_work(self) -> int:
        with open_to_read(self._data_dir) as connection:
            return int(connection.execute("SELECT count(*) FROM runs WHERE status = 'in_progress'").fetchone()[0])

    async def _submit_all(self) -> None:
        rate, seconds = self._options.rate, self._options.seconds
        free: list[Client] = []
        tasks: set[asyncio.Task[None]] = set()
        turn = asyncio.Semaphore(_MOST_SUBMITTING)
        began = time.monotonic()
        for number in range(rate * seconds):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._submit(number, due, free, turn))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks, timeout=60)

    async def _submit(self, number: int, due: float, free: list[Client], turn: asyncio.Semaphore) -> None:
        async with turn:
            client = free.pop() if free else Client(self._served.port, self._tokens[number % TOKENS])
            try:
                answer = await client.ask("POST", f"{API}/runs", _body(number), due=due)
            except (OSError, asyncio.IncompleteReadError) as error:
                client.close()
                self._submissions[type(error).__name__] += 1
                return
            free.append(client)
        self._submissions[str(answer.status)] += 1
        self.report.submission_seconds.append(answer.seconds)
        if answer.status == 202:
            self._accepted.append(json.loads(answer.body)["run_id"])

    async def _poll(self, number: int) -> None:
        """Once a second, one of the accepted runs."""
        client = Client(self._served.port, self._tokens[number % TOKENS])
        random_of = random.Random(number)  # noqa: S311 - which run is polled
        await asyncio.sleep(random_of.random())
        while not self._over.is_set():
            began = time.monotonic()
            try:
                answer = await client.ask("GET", f"{API}/runs/{random_of.choice(self._accepted)}")
            except (OSError, asyncio.IncompleteReadError) as error:
                client.close()
                self._polls[type(error).__name__] += 1
            else:
                self._polls[str(answer.status)] += 1
                self.report.poll_seconds.append(answer.seconds)
            await asyncio.sleep(max(0.0, began + 1 - time.monotonic()))
        client.close()

    async def _follow(self, number: int) -> None:
        """One of the runs that execute."""
        client = Client(self._served.port, self._tokens[number % TOKENS])
        await asyncio.sleep(number / 100)
        try:
            status, _ = await client.begin("GET", f"{API}/runs/{self._busy[number % len(self._busy)]}/events")
            self._stream_ends[f"answered {status}"] += 1
            if status != 200:
                return
            self._open_streams += 1
            self.report.streams_at_once = max(self.report.streams_at_once, self._open_streams)
            while not self._over.is_set():
                with suppress(TimeoutError):
                    data = await asyncio.wait_for(client.read_some(), 2)
                    if not data:
                        self._stream_ends["ended by the server"] += 1
                        break
                    self.report.stream_bytes += len(data)
            self._open_streams -= 1
        except (OSError, asyncio.IncompleteReadError) as error:
            self._stream_ends[type(error).__name__] += 1
        finally:
            client.close()

    async def _sample(self, began: float) -> None:
        for tick in itertools.count():
            self.report.usage.append((round(time.monotonic() - began, 1), usage_of(self._served.process.pid)))
            self.report.busy_workers.append(self._workers_at_work())
            next_at = began + (tick + 1) * _SAMPLE_SECONDS
            while time.monotonic() < next_at:
                if self._over.is_set():
                    self.report.usage.append((round(time.monotonic() - began, 1), usage_of(self._served.process.pid)))
                    return
                await asyncio.sleep(0.2)

    def _compare(self) -> None:
        report, accepted = self.report, set(self._accepted)
        with open_to_read(self._data_dir) as connection:
            stored = {row[0] for row in connection.execute("SELECT run_id FROM runs")}
        report.accepted, report.stored = len(accepted), len(stored)
        report.not_stored, report.not_accepted = len(accepted - stored), len(stored - accepted)
        log = self._served.log.read_text(encoding="utf-8", errors="replace")
        report.lines_about_locks = [line for line in log.splitlines() if any(word in line for word in _LOCKED)]


def _body(number: int) -> bytes:
    text = f"# Wish {number}\n\n- Goal: wish number {number} comes true\n"
    return json.dumps({"repository": SLUG, "specify_text": text}).encode()


def main() -> int:
    """0: each accepted run is stored, and no request failed. 1: not so."""
    parser = argparse.ArgumentParser(prog="tests/faults/run load", description=__doc__)
    parser.add_argument("--rate", type=int, default=50, help="submissions a second (default: 50)")
    parser.add_argument("--seconds", type=int, default=60, help="for how long (default: 60)")
    parser.add_argument("--pollers", type=int, default=100, help="clients that poll once a second (default: 100)")
    parser.add_argument("--streams", type=int, default=100, help="clients that follow a run (default: 100)")
    parser.add_argument("--shards", type=int, default=3, help="workers (default: 3)")
    parser.add_argument("--think", type=float, default=10.0, help="seconds that the stand-in model waits (default: 10)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="moonmind-load-"))
    base = settings.load({}).settings
    with RehearsalEnvironment(
        base, overrides=WIDE_LIMITS, think_seconds=options.think, shards=options.shards
    ) as environment:
        environment.github.add_repository(SLUG)
        served = Served(environment, folder / "serve.log")
        with attach(environment.settings) as resources:
            tokens = [
                resources.store.tokens.create(f"load-{number}", operator=True, expires_at=None)
                for number in range(TOKENS)
            ]
        for shard in range(options.shards):
            environment.sign_in_by(served.environment, shard)
        try:
            served.start()
            report = asyncio.run(Load(served, tokens, environment.data_dir, options).run())
        finally:
            served.close()
    print(json.dumps(asdict(report)) if options.json else table(report))
    print(f"The appliance's log: {served.log}", file=sys.stderr)
    fine = report.not_stored == report.not_accepted == 0 and not report.lines_about_locks
    return 0 if fine and set(report.submissions) == {"202"} and set(report.polls) == {"200"} else 1


def table(report: LoadReport) -> str:
    """The report for people."""
    return "\n".join(f"{name:<34}  {value}" for name, value in _rows(report))


def _rows(report: LoadReport) -> Iterator[tuple[str, str]]:
    yield "duration", f"{report.seconds:.0f} s"
    yield "submissions", _counted(report.submissions)
    yield "accepted, stored", f"{report.accepted}, {report.stored}"
    yield "accepted and not stored", str(report.not_stored)
    yield "stored and not accepted", str(report.not_accepted)
    yield "submission to 202", _times(report.submission_seconds)
    yield "polls", _counted(report.polls)
    yield "poll to answer", _times(report.poll_seconds)
    yield "event streams", f"{_counted(report.streams)}; {report.streams_at_once} open at once"
    yield "bytes of event streams", str(report.stream_bytes)
    yield "log lines about locks", str(len(report.lines_about_locks))
    yield "workers at work, each 10 s", " ".join(map(str, report.busy_workers))
    for at, usage in report.usage:
        yield f"after {at:.0f} s", f"{usage.rss_mib:.1f} MiB, {usage.threads} threads, {usage.open_files} open files"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} times {what}" for what, count in sorted(counts.items())) or "none"


def _times(values: list[float]) -> str:
    shares = ", ".join(f"p{share * 100:g} {quantile(values, share) * 1000:.0f} ms" for share in (0.5, 0.99, 1))
    return f"{shares} ({len(values)})"


if __name__ == "__main__":
    sys.exit(main())
