"""Fixtures: a store on disk, runs for it, and other processes on the same folder."""

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.models import Actor, Run
from moonmind_appliance.store import Store

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(data_dir: Path) -> Iterator[Store]:
    store = Store.open(data_dir)
    yield store
    store.close()


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """A new run; each is accepted a second after the one before. `user` is the submitter's subject."""
    made = 0

    def make(user: str = "local:ann", **fields: Any) -> Run:
        nonlocal made
        made += 1
        known = {
            "run_id": str(uuid.uuid4()),
            "repository": "Acme/Shop",
            "specify_text": "Add a basket.",
            "accepted_at": NOW - timedelta(hours=1) + timedelta(seconds=made),
            "created_by": Actor(user, user.rpartition(":")[2]),
        }
        return Run(**{**known, **fields})

    return make


@pytest.fixture
def claimed(store: Store, make_run: Callable[..., Run], now: datetime) -> Run:
    """A run in progress under the lease "mine"."""
    store.runs.insert(make_run())
    run = store.queue.claim(1, "mine", now=now, lease_seconds=60)
    assert run is not None
    return run


@pytest.fixture
def in_process(data_dir: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Start another Python process; its first argument is the data folder."""

    def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", code, str(data_dir), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    return start
