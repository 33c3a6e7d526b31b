"""A store on disk, wake-ups that are recorded, and people to submit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moonmind_appliance.dispatch import Wakeups
from moonmind_appliance.models import Actor, LoginState, Run, RunStatus, Shard, ShardName
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.runs.submit import SubmitRequest, submit_run
from moonmind_appliance.settings import Settings
from moonmind_appliance.store import Store

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ANN = Actor("local:ann", "ann")
BOB = Actor("local:bob", "bob")
OPERATOR = Actor("local:olga", "olga", operator=True)


class RecordedWakeups(Wakeups):
    """Keeps the shards that were woken, and (shard, time), instead of writing into huey's file."""

    def __init__(self, *, broken: bool = False) -> None:
        self.woken: list[int] = []
        self.timed: list[tuple[int, datetime]] = []
        self.broken = broken

    def wake(self, shard: int) -> None:
        if self.broken:
            raise OSError("no wake-up")
        self.woken.append(shard)

    def wake_at(self, shard: int, at: datetime) -> None:
        self.timed.append((shard, at))


@dataclass
class House:
    store: Store
    settings: Settings
    wakeups: RecordedWakeups = field(default_factory=RecordedWakeups)
    redactor: Redactor = field(default_factory=Redactor)

    def submit(self, actor: Actor = ANN, **fields: Any) -> Run:
        options = {name: fields.pop(name) for name in ("idempotency_key", "draining", "now") if name in fields}
        request = SubmitRequest(**({"repository": "acme/shop", "specify_text": "Add a basket."} | fields))
        return submit_run(
            self.store,
            self.wakeups,
            self.settings,
            actor,
            request,
            redactor=self.redactor,
            **({"now": NOW} | options),
        )

    def stored(self, run: Run) -> Run:
        kept = self.store.runs.get(run.run_id)
        assert kept is not None
        return kept

    def logins(self, *states: LoginState) -> None:
        for number, state in enumerate(states):
            self.store.shards.save(Shard(shard=number, login=state))

    def take(self, run: Run) -> str:
        """Claim the only queued run; its lease."""
        claimed = self.store.queue.claim(0, "lease", now=NOW, lease_seconds=60)
        assert claimed is not None
        assert claimed.run_id == run.run_id
        return "lease"

    def end(self, run: Run, status: RunStatus) -> None:
        lease = self.take(run)
        self.store.progress.finish(run.run_id, lease, status, now=NOW, result_summary=None, failure=None)


@contextmanager
def open_house(data_dir: Path, **settings: Any) -> Iterator[House]:
    store = Store.open(data_dir)
    try:
        yield House(store, Settings(moonmind_data_dir=data_dir, **({"min_free_disk": 1} | settings)))
    finally:
        store.close()


def shard_names(count: int = 3) -> list[ShardName]:
    return [ShardName(number, "codex_auth_") for number in range(count)]
