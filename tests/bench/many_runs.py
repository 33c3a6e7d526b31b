"""A data folder with 100 runs beside one with 100,000: start-up, requests over HTTP, retention, backup and restore.

One run is made through the store's own functions and then copied in bulk: runs over 365 days, a text of 4 KiB each,
events for those of the last 120 days, artifacts on disk for those of the last 10. Figures:

- the folder: rows, bytes of the database, files;
- backup and restore, with and without artifacts: seconds and bytes; the longest wait of a write during the backup;
- retention: one call over it (events older than 90 days and artifacts older than 7 go), and the longest wait of
  another connection's write meanwhile;
- start-up: `serve` as a process, until `/health` answers;
- requests: one client, one after the other, 50th and 99th percentile.

Run it by itself: `python tests/bench/many_runs.py [--runs 100 100000] [--requests 400] [--folder DIR]`.
"""

import argparse
import random
import sqlite3
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[2]))

from moonmind_appliance.archive import work_folder
from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.models import (
    PHASE_ORDER,
    Actor,
    Artifact,
    ArtifactType,
    Phase,
    PhaseName,
    PhaseStatus,
    Run,
    RunStatus,
)
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.resources import utc_now
from moonmind_appliance.retention.hourly import retain
from moonmind_appliance.runs.backup import back_up
from moonmind_appliance.runs.restore import restore
from moonmind_appliance.store import Store
from moonmind_appliance.store.rows import time_text
from tests.appliance_under_test import make_resources
from tests.bench.measure import BASE, serving, times

DAYS, EVENT_DAYS, ARTIFACT_DAYS = 365, 120, 10
STATUSES = ["succeeded"] * 8 + ["failed", "cancelled"]
WORDS = [f"{random.Random(n).randrange(16**6):06x}" for n in range(4000)]  # noqa: S311 - no secret
ARTIFACTS = 18


def text(number: int) -> str:
    """4 KiB that compress about as well as prose."""
    chosen = random.Random(number)  # noqa: S311 - no secret
    return " ".join(chosen.choices(WORDS, k=580))


def template(folder: Path) -> tuple[str, str]:
    """Store one ended run with all phases, events and artifacts; its id, and an operator's token."""
    store = Store.open(folder)
    now = datetime.now(UTC) - timedelta(days=DAYS + 1)
    run_id = str(uuid.uuid4())
    store.runs.insert(
        Run(
            run_id=run_id,
            repository="acme/shop",
            specify_text=text(0),
            accepted_at=now,
            created_by=Actor("local:ann", "ann"),
        ),
        idempotency=("key", "digest"),
    )
    store.queue.claim(0, "L", now=now, lease_seconds=60)
    files = ArtifactFiles(folder)
    for name in PHASE_ORDER:
        for status in (PhaseStatus.RUNNING, PhaseStatus.SUCCEEDED):
            metadata = {"seconds": 12.5, "note": "a" * 300}
            phase = Phase(phase=name, status=status, attempt=1, started_at=now, metadata=metadata)
            store.progress.save_phase(run_id, "L", phase, now=now)
    for number in range(ARTIFACTS):
        written = files.write(run_id, f"{number:02}.log", text(number).encode(), Redactor())
        store.artifacts.save(
            Artifact(
                artifact_id=f"{number:02}",
                run_id=run_id,
                name=f"{number:02}.log",
                artifact_type=ArtifactType.STDOUT_LOG,
                storage_path=written.storage_path,
                content_type="text/plain",
                size_bytes=written.size_bytes,
                sha256=written.sha256,
                source_phase=PhaseName.SPECKIT_PLAN,
                created_at=now,
                expires_at=now,
            )
        )
    store.progress.finish(run_id, "L", RunStatus.SUCCEEDED, now=now, result_summary="Done.", failure=None)
    token = store.tokens.create("bench", operator=True, expires_at=None)
    store.close()
    return run_id, token


def columns(connection: sqlite3.Connection, table: str, **changed: str) -> str:
    """The table's columns for an INSERT ... SELECT, with some of them replaced by SQL expressions."""
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    kept = [name for name in names if changed.get(name) != "skip"]
    values = ", ".join(changed.get(name, f"old.{name}") for name in kept)
    into = f"INSERT INTO {table} ({', '.join(kept)})"
    return f"{into} SELECT {values} FROM {table} AS old, new WHERE old.run_id = :run"  # noqa: S608 - fixed names


def fill(folder: Path, count: int) -> str:
    """Make a data folder with that many runs; returns an operator's token."""
    run, token = template(folder)
    now = datetime.now(UTC)
    connection = sqlite3.connect(folder / "appliance.db", isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    # Rows go to places all over the tables: without a large cache each is read again.
    connection.execute("PRAGMA cache_size = -1500000")
    connection.execute("CREATE TEMP TABLE new (run_id, at, ended, age REAL, status, user, text, number)")
    connection.execute("BEGIN")
    with_files = []
    for number in range(count - 1):
        age = DAYS * (number + 1) / count
        at = now - timedelta(days=age)
        run_id = str(uuid.uuid4())
        if age < ARTIFACT_DAYS:
            with_files.append(run_id)
        row = (run_id, time_text(at), time_text(at + timedelta(minutes=9)), age, STATUSES[number % 10])
        connection.execute(
            "INSERT INTO new VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, f"user{number % 20}", text(number), number)
        )
    values = {"run": run}
    changed = {"run_id": "new.run_id", "accepted_at": "new.at", "started_at": "new.at", "completed_at": "new.ended"}
    users = {"subject": "'local:' || new.user", "username": "new.user", "status": "new.status"}
    more = {"repository": "'acme/shop-' || (new.number % 40)", "external_ref": "'T-' || new.number"}
    connection.execute(columns(connection, "runs", **changed, **users, **more), values)
    connection.execute("INSERT INTO specifications SELECT run_id, text FROM new ORDER BY run_id")
    connection.execute("INSERT INTO idempotency_keys SELECT 'key' || run_id, 'digest', run_id FROM new ORDER BY run_id")
    connection.execute(
        f"{columns(connection, 'phases', run_id='new.run_id')} ORDER BY new.run_id, old.position", values
    )
    events = columns(connection, "events", event_id="skip", run_id="new.run_id", at="new.ended")
    connection.execute(f"{events} AND new.age < {EVENT_DAYS} ORDER BY new.at, old.event_id", values)
    artifacts = columns(
        connection,
        "artifacts",
        artifact_id="new.run_id || old.artifact_id",
        run_id="new.run_id",
        storage_path="'runs/' || new.run_id || '/artifacts/' || old.name",
        created_at="new.ended",
        expires_at="strftime('%Y-%m-%dT%H:%M:%fZ', new.ended, '+7 days')",
    )
    connection.execute(f"{artifacts} AND new.age < {ARTIFACT_DAYS}", values)
    connection.execute("COMMIT")
    connection.close()
    source = folder / "runs" / run / "artifacts"
    contents = {path.name: path.read_bytes() for path in source.iterdir()}
    for run_id in with_files:
        target = folder / "runs" / run_id / "artifacts"
        target.mkdir(mode=0o700, parents=True)
        for name, content in contents.items():
            (target / name).write_bytes(content)
    return token


def percentiles(seconds: list[float]) -> str:
    """The 50th and 99th percentile and the largest, in milliseconds."""
    took = times(seconds)
    return f"p50 {took.p50:7.1f} ms   p99 {took.p99:7.1f} ms   worst {took.worst:7.1f} ms"


def requests(address: str, token: str, count: int) -> Iterator[tuple[str, list[float]]]:
    """The seconds of each request, by kind."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=address + BASE, headers=headers, timeout=60, trust_env=False) as client:
        page = client.get("/runs", params={"limit": 50}).json()
        deep = page
        for _ in range(20):
            if deep["next_cursor"] is None:
                break
            deep = client.get("/runs", params={"limit": 50, "cursor": deep["next_cursor"]}).json()
        run_ids = [item["run_id"] for item in [*page["items"], *deep["items"]]]

        def timed(call: Callable[[int], httpx.Response], often: int = count) -> list[float]:
            seconds = []
            for number in range(often):
                began = time.perf_counter()
                answer = call(number)
                seconds.append(time.perf_counter() - began)
                answer.raise_for_status()
            return seconds

        yield "list, newest 50", timed(lambda _: client.get("/runs", params={"limit": 50}))
        if deep["next_cursor"]:
            cursor = deep["next_cursor"]
            yield "list, page 20", timed(lambda _: client.get("/runs", params={"limit": 50, "cursor": cursor}))
        yield "list, status failed", timed(lambda _: client.get("/runs", params={"status": "failed"}))
        yield "list, status queued", timed(lambda _: client.get("/runs", params={"status": "queued"}))
        yield (
            "list, one repository",
            timed(lambda n: client.get("/runs", params={"repository": f"acme/shop-{n % 40}"})),
        )
        yield "list, external_ref", timed(lambda n: client.get("/runs", params={"external_ref": f"T-{n % 99}"}))
        yield "detail", timed(lambda n: client.get(f"/runs/{run_ids[n % len(run_ids)]}"))
        yield "shards", timed(lambda _: client.get("/shards"))
        yield "metrics", timed(lambda _: client.get("/metrics"), min(count, 50))
        body = {"repository": "acme/new", "specify_text": "Add a basket."}
        yield "submit", timed(lambda _: client.post("/runs", json=body), min(count, 100))


@contextmanager
def writing(folder: Path) -> Iterator[list[float]]:
    """Another process's writes: the seconds that each of them took, while the block runs."""
    waits: list[float] = []
    stop = threading.Event()

    def write() -> None:
        connection = sqlite3.connect(folder / "appliance.db", timeout=120, isolation_level=None)
        while not stop.wait(0.02):
            began = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE tokens SET last_used_at = NULL")
            connection.execute("COMMIT")
            waits.append(time.perf_counter() - began)
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield waits
    finally:
        stop.set()
        thread.join()


def show(name: str, value: str) -> None:
    """One line."""
    print(f"  {name:32} {value}", flush=True)


def megabytes(path: Path) -> str:
    """The size of a file."""
    return f"{path.stat().st_size / 1e6:.1f} MB"


def measure(folder: Path, count: int, request_count: int) -> None:
    """Make the folder and print its figures."""
    began = time.perf_counter()
    token = fill(folder, count)
    database = folder / "appliance.db"
    print(f"{count:,} runs (made in {time.perf_counter() - began:.0f} s)")
    connection = sqlite3.connect(database)
    rows = {
        name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608 - fixed names
        for name in ("runs", "phases", "events", "artifacts")
    }
    connection.close()
    show("database", f"{megabytes(database)}; " + ", ".join(f"{name} {n:,}" for name, n in rows.items()))
    for artifacts in (False, True):
        archive = folder.parent / f"{folder.name}-{artifacts}.tar.gz"
        began = time.perf_counter()
        with archive.open("wb") as sink, work_folder(folder.parent) as work, writing(folder) as waits:
            back_up(folder, sink, work, artifacts=artifacts, keep_free=0, progress=lambda *_: None)
        seconds = time.perf_counter() - began
        what = "with artifacts" if artifacts else "database"
        show(f"backup, {what}", f"{seconds:.1f} s, {megabytes(archive)}, longest write {max(waits, default=0):.3f} s")
        target = folder.parent / f"{folder.name}-restored-{artifacts}"
        began = time.perf_counter()
        with archive.open("rb") as source:
            restore(source, target, keep_free=0, new_id=True, progress=lambda *_: None)
        show(f"restore, {what}", f"{time.perf_counter() - began:.1f} s")
    store = Store.open(folder)
    resources = make_resources(store, folder, clock=utc_now)
    began = time.perf_counter()
    with writing(folder) as waits:
        gone = retain(resources)
    seconds = time.perf_counter() - began
    show("retention", f"{seconds:.1f} s, {len(gone):,} runs' files, longest write {max(waits, default=0):.3f} s")
    began = time.perf_counter()
    retain(resources)
    show("retention, nothing to do", f"{time.perf_counter() - began:.2f} s")
    store.close()
    with serving(folder) as server:
        show("start until /health answers", f"{server.started_in:.2f} s")
        for name, spent in requests(f"http://127.0.0.1:{server.port}", token, request_count):
            show(name, percentiles(spent))


def main() -> None:
    """Print the figures of each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", type=int, default=[100, 100_000])
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--folder", type=Path, help="Where the data folders are made; a temporary one by default.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as parent:
        for count in chosen.runs:
            folder = Path(parent) / str(count)
            folder.mkdir(mode=0o700)
            measure(folder, count, chosen.requests)


if __name__ == "__main__":
    main()
