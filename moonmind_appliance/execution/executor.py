"""Take runs for a shard, one at a time, and execute them; interrupt them when the process stops."""

import logging
import threading
import time
import uuid

from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.errors import InterruptReason, LeaseLost, StoreError
from moonmind_appliance.execution.claim import prepare_claim
from moonmind_appliance.execution.execute import Execution
from moonmind_appliance.execution.heartbeat import BEAT_SECONDS, LEASE_SECONDS, Heartbeat
from moonmind_appliance.models import Run, ShardNames
from moonmind_appliance.phases import MEASURE_EVERY
from moonmind_appliance.resources import Resources

_RELEASE_AGAIN_EVERY = 1.0
# Seconds between two log lines about a run whose state cannot be saved.
_REPEAT_EVERY = 60.0

_log = logging.getLogger(__name__)


class Executor:
    """Executes runs, one at a time per shard. The shard's worker thread calls `work`.

    Renews the claim and checks for a cancel every `beat` seconds; measures disk use every `measure_every` seconds.
    """

    def __init__(
        self, resources: Resources, *, beat: float = BEAT_SECONDS, measure_every: float = MEASURE_EVERY
    ) -> None:
        self._resources = resources
        self._beat = beat
        self._measure_every = measure_every
        self._lock = threading.Lock()
        self._tokens: dict[str, CancelToken] = {}

    def work(self, shard: int) -> None:
        """Execute runs until none is left for this shard."""
        with self._resources.store.database.long_wait():
            self._work(shard)

    def running(self) -> set[str]:
        """The ids of the runs that are being executed."""
        with self._lock:
            return set(self._tokens)

    def _work(self, shard: int) -> None:
        while not self._resources.stopping.is_set() and prepare_claim(self._resources, shard):
            lease = str(uuid.uuid4())
            run = self._resources.store.queue.claim(
                shard, lease, now=self._resources.clock(), lease_seconds=LEASE_SECONDS
            )
            if run is None:
                return
            self._execute(run, lease, self._resources.shards[shard])

    def stop(self) -> list[str]:
        """Claim no more runs and interrupt the running ones; returns their ids. Idempotent."""
        with self._lock:
            self._resources.stopping.set()
            for token in self._tokens.values():
                token.cancel(InterruptReason.SHUTDOWN)
            return sorted(self._tokens)

    def _execute(self, run: Run, lease: str, shard: ShardNames) -> None:
        token = CancelToken()
        with self._lock:
            self._tokens[run.run_id] = token
            if self._resources.stopping.is_set():
                token.cancel(InterruptReason.SHUTDOWN)
        try:
            with Heartbeat(self._resources.store, run, lease, token, clock=self._resources.clock, beat=self._beat):
                try:
                    Execution(self._resources, run, lease, shard, token, self._measure_every).run()
                except StoreError as error:
                    if isinstance(error, LeaseLost):
                        raise
                    _log.error("Run %s stops until its state can be saved again: %s", run.run_id, error)
                    self._release(run, lease)
                except MemoryError:
                    _log.error("Run %s stops: the appliance has no memory left. It starts again.", run.run_id)
                    self._release(run, lease)
        except LeaseLost:
            _log.warning("Run %s has been claimed by another worker; this worker stops.", run.run_id)
        finally:
            with self._lock:
                del self._tokens[run.run_id]

    def _release(self, run: Run, lease: str) -> None:
        """Requeue the run as soon as the database accepts a write; the run continues at its first unfinished phase.

        Raises:
            LeaseLost: the claim is over.
        """
        repeat_at = time.monotonic() + _REPEAT_EVERY
        while not self._resources.stopping.wait(_RELEASE_AGAIN_EVERY):
            try:
                self._resources.store.queue.release(run.run_id, lease, waiting_for=None, interrupted=True)
            except LeaseLost:
                raise
            except StoreError as error:
                if time.monotonic() >= repeat_at:
                    _log.error("Run %s still stops, as its state cannot be saved: %s", run.run_id, error)
                    repeat_at = time.monotonic() + _REPEAT_EVERY
                continue
            return
