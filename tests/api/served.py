"""Starts the API in a thread on a port of 127.0.0.1, and creates clients for it."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from moonmind_appliance.api import ApiParts, build_api
from moonmind_appliance.api.parts import Pace
from moonmind_appliance.api_address import open_socket
from moonmind_appliance.checks import Finding
from moonmind_appliance.models import (
    Artifact,
    ArtifactType,
    Authenticated,
    Phase,
    PhaseName,
    PhaseStatus,
    Run,
    RunStatus,
)
from moonmind_appliance.resources import utc_now
from moonmind_appliance.serving.limits import Limits
from moonmind_appliance.serving.server import ApiServer
from moonmind_appliance.store import Store
from tests.appliance_under_test import make_resources

BASE = "/api/spec-automation"
REQUEST = {"repository": "acme/shop", "specify_text": "Add a basket."}
LEASE = "lease"


@dataclass
class Served:
    parts: ApiParts
    address: str
    tokens: dict[str, str]
    server: ApiServer
    checks: dict[str, Finding] = field(default_factory=dict)
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.parts.resources.store

    def client(self, name: str | None = "ann") -> httpx.Client:
        """A client with that user's token, or without a token."""
        headers = {} if name is None else {"Authorization": f"Bearer {self.tokens[name]}"}
        client = httpx.Client(base_url=self.address + BASE, headers=headers, timeout=20)
        self.clients.append(client)
        return client

    def submit(self, name: str = "ann", **fields: Any) -> str:
        answer = self.client(name).post("/runs", json=REQUEST | fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    def take(self, run_id: str) -> Run:
        run = self.store.queue.claim(0, LEASE, now=datetime.now(UTC), lease_seconds=600)
        assert run is not None
        assert run.run_id == run_id
        return run

    def phase(self, run_id: str, name: PhaseName, status: PhaseStatus, **fields: Any) -> None:
        known = {"attempt": 1, "started_at": datetime.now(UTC)}
        self.store.progress.save_phase(run_id, LEASE, Phase(phase=name, status=status, **(known | fields)))

    def finish(self, run_id: str, status: RunStatus = RunStatus.SUCCEEDED) -> None:
        self.store.progress.finish(run_id, LEASE, status, now=datetime.now(UTC), result_summary="Done.", failure=None)

    def keep(self, run_id: str, name: str, content: bytes, content_type: str = "text/plain") -> Artifact:
        """Save an artifact with that content, on disk and in the database."""
        written = self.parts.resources.files.write(run_id, name, content, self.parts.resources.redactor)
        return self.store.artifacts.save(
            Artifact(
                artifact_id=str(uuid.uuid4()),
                run_id=run_id,
                name=name,
                artifact_type=ArtifactType.STDOUT_LOG,
                storage_path=written.storage_path,
                content_type=content_type,
                size_bytes=written.size_bytes,
                sha256=written.sha256,
                source_phase=PhaseName.SPECKIT_PLAN,
                created_at=datetime.now(UTC),
                expires_at=datetime.now(UTC) + timedelta(days=7),
            )
        )


@contextmanager
def serve(
    data_dir: Path,
    *,
    authenticate: Callable[[str], Authenticated | None] | None = None,
    pace: Pace | None = None,
    limits: Limits | None = None,
    host: str = "127.0.0.1",
    **settings: Any,
) -> Iterator[Served]:
    store = Store.open(data_dir)
    tokens = {
        name: store.tokens.create(name, operator=name == "olga", expires_at=None) for name in ("ann", "bob", "olga")
    }
    checks: dict[str, Finding] = {}
    parts = ApiParts(
        resources=make_resources(store, data_dir, settings, clock=utc_now),
        authenticate=authenticate or store.tokens.authenticate,
        readiness=lambda: checks,
        version="9.9.9",
        pace=pace or Pace(),
    )
    proxies = parts.resources.settings.trusted_proxies
    server = ApiServer(build_api(parts), limits or Limits(), trusted_proxies=proxies)
    listening = open_socket(host, 0)
    port = listening.getsockname()[1]
    thread = threading.Thread(target=server.run, args=([listening],), name="api under test")
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    served = Served(parts, f"http://127.0.0.1:{port}", tokens, server, checks)
    try:
        yield served
    finally:
        for client in served.clients:
            client.close()
        parts.resources.stopping.set()
        server.should_exit = True
        thread.join(20)
        store.close()
        assert not thread.is_alive()
