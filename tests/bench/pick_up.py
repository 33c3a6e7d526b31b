"""How long an accepted run waits on an idle appliance until a worker has it.

Measured from the moment in which `store.runs.insert` returned (the row is committed and synced) to the moment in which
the worker has claimed the row and saved `prepare_job` as running. Three ways to wake it, on the same store and disk:

- within the process, as the API does it;
- from another process, as the TUI and the command line do it (own connections, nothing shared but the file);
- the baseline: huey's own consumer on SQLite with its defaults. It polls, the more seldom the longer nothing came (up
  to every ten seconds): a longer `--pause` is an idler system, and makes its waits longer.

Run it by itself: `python tests/bench/pick_up.py [--json] [--submissions N] [--pause SECONDS] [--folder FOLDER]`.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from huey import SqliteHuey
from huey.consumer import Consumer

from moonmind_appliance.dispatch import Wakeups, Workers
from moonmind_appliance.models import Actor, Phase, PhaseName, PhaseStatus, Run, ShardNames
from moonmind_appliance.store import Store

SHARDS = [ShardNames(index, "codex_auth_") for index in range(3)]


class Figures(NamedTuple):
    """Milliseconds over so many submissions."""

    submissions: int
    median_ms: float
    p99_ms: float
    worst_ms: float


class Worker:
    """What a shard's worker does first: claim, and say that `prepare_job` runs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.done: dict[str, float] = {}
        self.took_one = threading.Event()

    def __call__(self, shard: int) -> None:
        now = datetime.now(UTC)
        lease = str(uuid.uuid4())
        run = self._store.queue.claim(shard, lease, now=now, lease_seconds=60)
        if run is None:
            return
        running = Phase(phase=PhaseName.PREPARE_JOB, status=PhaseStatus.RUNNING, attempt=1, started_at=now)
        self._store.progress.save_phase(run.run_id, lease, running)
        self.done[run.run_id] = time.perf_counter()
        self.took_one.set()


def measure(store: Store, wake: Callable[[], object], worker: Worker, submissions: int, pause: float) -> Figures:
    """Submit one run after the other, each to an idle system, at odd moments (the same for each way)."""
    waits = []
    dice = random.Random(1)  # noqa: S311 - odd moments, no secrets
    for _ in range(submissions):
        time.sleep(dice.uniform(pause / 2, pause * 1.5))
        worker.took_one.clear()
        run = Run(
            run_id=str(uuid.uuid4()),
            repository="acme/shop",
            specify_text="Add a basket. " * 100,
            accepted_at=datetime.now(UTC),
            created_by=Actor("local:bench", "bench"),
        )
        store.runs.insert(run)
        committed = time.perf_counter()
        wake()
        if not worker.took_one.wait(30):
            sys.exit("A run was not picked up within 30 s.")
        waits.append((worker.done[run.run_id] - committed) * 1000)
    waits.sort()
    return Figures(
        submissions,
        round(statistics.median(waits), 3),
        round(waits[max(0, -(-len(waits) * 99 // 100) - 1)], 3),
        round(waits[-1], 3),
    )


@contextmanager
def own_workers(folder: Path, worker: Worker) -> Iterator[Workers]:
    workers = Workers(folder, SHARDS, work=worker)
    workers.start()
    try:
        yield workers
    finally:
        workers.stop(10)


@contextmanager
def stock_consumer(folder: Path, worker: Worker) -> Iterator[Callable[[], object]]:
    huey = SqliteHuey("stock", filename=str(folder / "stock.db"))

    def take() -> None:
        worker(0)

    consumer = Consumer(huey)
    consumer.start()
    try:
        yield huey.task()(take)
    finally:
        consumer.stop(graceful=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--submissions", type=int, default=100, help="for each way (100)")
    parser.add_argument("--pause", type=float, default=0.3, help="mean seconds between two submissions (0.3)")
    parser.add_argument("--folder", type=Path, help="where the data folder is made: the disk to measure")
    options = parser.parse_args()
    how = (options.submissions, options.pause)
    figures: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        folder = Path(made) / "data"
        store = Store.open(folder)
        worker = Worker(store)
        with own_workers(folder, worker) as workers:

            def wake_idle_shard() -> None:
                workers.wake(workers.idle()[0])

            outside = Wakeups(folder, SHARDS)
            figures["same_process"] = measure(store, wake_idle_shard, worker, *how)
            figures["another_process"] = measure(store, lambda: outside.wake(1), worker, *how)
        with stock_consumer(folder, worker) as wake_stock:
            figures["stock_huey"] = measure(store, wake_stock, worker, *how)
        store.close()
    ratio = round(figures["stock_huey"].median_ms / figures["same_process"].median_ms, 1)
    if options.json:
        print(json.dumps({name: each._asdict() for name, each in figures.items()} | {"ratio_median": ratio}))
        return
    print(f"{'wake-up':<16} {'submissions':>11} {'median':>10} {'p99':>10} {'worst':>10}")
    for name, each in figures.items():
        times = " ".join(f"{value:>7.2f} ms" for value in each[1:])
        print(f"{name:<16} {each.submissions:>11} {times}")
    print(f"stock_huey / same_process, by median: {ratio}")


if __name__ == "__main__":
    main()
