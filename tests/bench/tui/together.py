"""Two terminal interfaces and a served appliance on one database, with submissions, phases and keys all the time."""

import itertools
import random
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import httpx

from tests.bench.tui.data_folder import fill, store_in
from tests.bench.tui.pseudo_terminal import Terminal, environment
from tests.journeys.served import Served

API = "/api/spec-automation"
_LOCKED = (b"locked", b"cannot be read")
# Lists, a run and its tabs, shards, help; then a run is cancelled and retried.
_TOUR = ("j", "j", "G", "g", "\r", "]", "]", "\x1b", "2", "1", "s", "?", "\x1b", "/shop", "\r", "\x1b", "x", "y", "r")


class Together(NamedTuple):
    """What happened. `locked` counts messages of a locked or unreadable database, on screens and in the log.

    `median_ms_alone` is a write without terminals, `median_ms` and `slowest_ms` with both; the same for `post_…`.
    """

    seconds: float
    submitted: int
    writes: int
    keys: int
    locked: int
    failed_requests: int
    failed_writes: int
    terminals_alive: int
    terminals_up_to_date: int
    median_ms_alone: float
    median_ms: float
    slowest_ms: float
    post_median_ms_alone: float
    post_median_ms: float
    post_slowest_ms: float


class Submitter(threading.Thread):
    """Submits a run over HTTP every half second."""

    def __init__(self, served: Served, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._client = httpx.Client(
            base_url=f"{served.url}{API}", headers={"Authorization": f"Bearer {served.token}"}, timeout=60
        )
        self._stop_event = stop
        self.milliseconds: list[float] = []
        self.failed: list[str] = []

    def submit(self, repository: str) -> None:
        begun = time.perf_counter()
        body = {"repository": repository, "base_branch": "main", "specify_text": "# Basket\n", "dry_run": True}
        try:
            self._client.post("/runs", json=body).raise_for_status()
        except httpx.HTTPError as error:
            self.failed.append(str(error))
        self.milliseconds.append((time.perf_counter() - begun) * 1000)

    def run(self) -> None:
        for number in itertools.count():
            if self._stop_event.wait(0.5):
                return
            self.submit(f"acme/shop-{number % 40}")


class Person(threading.Thread):
    """Presses a key every 0.4 s."""

    def __init__(self, terminal: Terminal, seed: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._terminal, self._stop_event = terminal, stop
        self._dice = random.Random(seed)  # noqa: S311 - odd moments, no secrets
        self.keys = 0

    def run(self) -> None:
        for keys in itertools.cycle(_TOUR):
            # An interface that has ended is counted at the end.
            if self._stop_event.wait(self._dice.uniform(0.2, 0.6)) or self._terminal.process.poll() is not None:
                return
            self._terminal.press(keys)
            self.keys += 1


def measure(folder: Path, seconds: float) -> Together:
    """First a tenth of the time without terminals, for comparison."""
    data = folder / "together" / "data"
    with store_in(data) as store:
        fill(store, 1000)
    settings = environment(data) | {"MIN_FREE_DISK": "1k", "CODEX_SHARDS": "1"}
    (data.parent / "appliance.env").touch()
    log = data.parent / "serve.log"
    served = Served(SimpleNamespace(environment=lambda: settings), log).start()
    stop = threading.Event()
    submitter = Submitter(served, stop)
    writer = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("writer.py")), str(data)],
        env=environment(data),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        submitter.start()
        time.sleep(seconds / 10)
        posts_alone, split = len(submitter.milliseconds), time.time()
        with Terminal(data) as first, Terminal(data) as second:
            terminals = (first, second)
            for terminal in terminals:
                terminal.shows("serve:")
            people = [Person(terminal, number, stop) for number, terminal in enumerate(terminals)]
            for person in people:
                person.start()
            time.sleep(seconds)
            stop.set()
            for thread in (submitter, *people):
                thread.join()
            assert writer.stdin is not None and writer.stdout is not None  # noqa: PT018 - for the type checker
            writer.stdin.close()
            lines = [line.split() for line in writer.stdout]
            writer.wait(60)
            submitter.submit("acme/the-last-one")
            up_to_date = sum(_shows_last(terminal) for terminal in terminals)
            alive = sum(terminal.process.poll() is None for terminal in terminals)
            shown = b"".join(terminal.raw() for terminal in terminals)
    finally:
        stop.set()
        if writer.poll() is None:
            writer.kill()
        served.terminate()
    written = [(float(at), float(took)) for kind, at, took in lines if kind == "write"]
    alone = [took for at, took in written if at < split]
    beside = [took for at, took in written if at >= split]
    posts = submitter.milliseconds
    return Together(
        seconds=seconds,
        submitted=len(posts),
        writes=len(written),
        keys=sum(person.keys for person in people),
        locked=sum(each.count(word) for each in (shown, log.read_bytes()) for word in _LOCKED),
        failed_requests=len(submitter.failed),
        failed_writes=sum(kind == "failed" for kind, *_ in lines),
        terminals_alive=alive,
        terminals_up_to_date=up_to_date,
        median_ms_alone=round(statistics.median(alone), 2),
        median_ms=round(statistics.median(beside), 2),
        slowest_ms=round(max(beside), 1),
        post_median_ms_alone=round(statistics.median(posts[:posts_alone]), 1),
        post_median_ms=round(statistics.median(posts[posts_alone:]), 1),
        post_slowest_ms=round(max(posts[posts_alone:]), 1),
    )


def _shows_last(terminal: Terminal) -> bool:
    """Whether the filter finds the run that was submitted last."""
    if terminal.process.poll() is not None:
        return False
    terminal.press("\x1b\x1b")
    terminal.rest()
    terminal.press("1")
    terminal.rest()
    terminal.press("1")
    terminal.rest()
    terminal.press("/the-last")
    try:
        terminal.shows("acme/the-last-one", seconds=30)
    except Exception as error:  # noqa: BLE001 - counted, and shown
        print(error, file=sys.stderr)
        return False
    return True
