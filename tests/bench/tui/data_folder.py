"""A data folder as it is after months: ended runs, one run in progress, a log of any size."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.execution.artifacts import RunArtifacts
from moonmind_appliance.models import PHASE_ORDER, Actor, ArtifactType, Phase, PhaseName, PhaseStatus, Run
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.store import Store
from moonmind_appliance.store.runs import insert_rows

ACTOR = Actor("os:bench", "bench", operator=True)
SPECIFICATION = "# Basket\n\n- Goal: the shop keeps a basket.\n" + "The basket keeps what a person put into it. " * 100


class Growing(NamedTuple):
    """A run in progress, its lease, and the log that its phase writes."""

    run: Run
    lease: str
    log: Path


@contextmanager
def store_in(folder: Path) -> Iterator[Store]:
    store = Store.open(folder)
    try:
        yield store
    finally:
        store.close()


def fill(store: Store, count: int) -> None:
    """So many runs that succeeded, at least a day and a half ago: their ages stay the same for hours."""
    newest = datetime.now(UTC) - timedelta(days=1, hours=12)
    with store.database.write() as connection:
        for number in range(count):
            at = newest - timedelta(seconds=number)
            run = Run(
                run_id=str(uuid.uuid4()),
                repository=f"acme/shop-{number % 40}",
                specify_text=SPECIFICATION,
                accepted_at=at,
                created_by=ACTOR,
            )
            insert_rows(connection, run)
            times = (at.isoformat(), (at + timedelta(minutes=4)).isoformat())
            connection.execute(
                "UPDATE runs SET status = 'succeeded', shard = 0, started_at = ?, completed_at = ? WHERE run_id = ?",
                (*times, run.run_id),
            )
            connection.execute(
                "UPDATE phases SET status = 'succeeded', attempt = 1, started_at = ?, completed_at = ? "
                "WHERE run_id = ?",
                (*times, run.run_id),
            )


def new_run(store: Store, repository: str) -> Run:
    """Queued."""
    run = Run(
        run_id=str(uuid.uuid4()),
        repository=repository,
        specify_text=SPECIFICATION,
        accepted_at=datetime.now(UTC),
        created_by=ACTOR,
    )
    return store.runs.insert(run)


def growing(store: Store, folder: Path, repository: str, phase: PhaseName = PhaseName.GIT_CLONE) -> Growing:
    """A run that is in that phase, on shard 0; no other run may be queued."""
    run, lease = new_run(store, repository), str(uuid.uuid4())
    taken = store.queue.claim(0, lease, now=datetime.now(UTC), lease_seconds=86_400)
    if taken is None or taken.run_id != run.run_id:
        raise RuntimeError("Another run was queued.")
    kept = RunArtifacts(
        run.run_id,
        store=store,
        files=ArtifactFiles(folder),
        redactor=Redactor(),
        clock=lambda: datetime.now(UTC),
    )
    for name in PHASE_ORDER[: PHASE_ORDER.index(phase) + 1]:
        began = datetime.now(UTC)
        store.progress.save_phase(
            run.run_id, lease, Phase(phase=name, status=PhaseStatus.RUNNING, attempt=1, started_at=began)
        )
        if name is phase:
            break
        ended = Phase(
            phase=name, status=PhaseStatus.SUCCEEDED, attempt=1, started_at=began, completed_at=datetime.now(UTC)
        )
        store.progress.save_phase(run.run_id, lease, ended)
    log = kept.log(phase, 1, ArtifactType.STDOUT_LOG)
    log.close()
    return Growing(run, lease, ArtifactFiles(folder).path(log.storage_path))


def log_line(number: int) -> bytes:
    """100 bytes, with the number in it."""
    return (b"remote: line %09d counting and compressing objects, writing deltas" % number).ljust(99, b".") + b"\n"


def codex_event(number: int) -> bytes:
    """One command of Codex and its output."""
    item = {
        "id": f"item_{number}",
        "type": "command_execution",
        "command": f"sed -n {number},{number + 20}p src/basket.py",
        "exit_code": 0,
        "aggregated_output": "def price(basket):\n    return sum(item.price for item in basket)\n" * 4,
    }
    return json.dumps({"type": "item.completed", "item": item}).encode() + b"\n"
