"""Stores what a run's phases report as events."""

from collections.abc import Mapping

from moonmind_appliance.store import Store


class RunEvents:
    """The events of one run on one shard; an `EventRecorder` for its phases. Thread-safe."""

    def __init__(self, store: Store, run_id: str, shard: int) -> None:
        self._store = store
        self._run_id = run_id
        self._shard = shard

    def record(self, kind: str, data: Mapping[str, object]) -> None:
        """Store an event of the run."""
        self._store.events.add(kind, run_id=self._run_id, shard=self._shard, data=data)
