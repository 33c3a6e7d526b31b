"""Take runs for a shard, one at a time, and execute them; let their phases end, or interrupt them, at a stop."""

import logging
import threading
import time
import uuid
from datetime import timedelta
from typing import NamedTuple

from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.errors import DatabaseUnusable, InterruptReason, LeaseLost, StoreError
from moonmind_appliance.execution.artifact_records import complete_records
from moonmind_appliance.execution.claim import prepare_claim
from moonmind_appliance.execution.execute import Execution
from moonmind_appliance.execution.heartbeat import BEAT_SECONDS, LEASE_SECONDS, SETTLE_SECONDS, Heartbeat
from moonmind_appliance.execution.settle import remove_leftovers, settle_cancelled
from moonmind_appliance.models import Run, ShardNames
from moonmind_appliance.phases import MEASURE_EVERY
from moonmind_appliance.resources import Resources

_RELEASE_AGAIN_EVERY = 1.0
# Time after which a shard tries again to claim a run, if the database could not be used.
_CLAIM_AGAIN_AFTER = timedelta(seconds=5)
# Seconds between two log lines about a run whose state cannot be saved.
_REPEAT_EVERY = 60.0

_log = logging.getLogger(__name__)


class RunningRun(NamedTuple):
    """A run that a worker executes."""

    run: Run
    token: CancelToken
    execution: Execution

    def __str__(self) -> str:
        """Its id, and the phase that runs."""
        phase = self.execution.phase
        return f"{self.run.run_id} ({phase.value})" if phase else self.run.run_id


class Executor:
    """Executes runs, one at a time per shard. The shard's worker thread calls `work`.

    Renews the claim and checks for a cancel every `beat` seconds; settles a cancelled run `settle_after` seconds later
    if its worker is blocked; measures disk use every `measure_every` seconds.
    """

    def __init__(
        self,
        resources: Resources,
        *,
        beat: float = BEAT_SECONDS,
        settle_after: float = SETTLE_SECONDS,
        measure_every: float = MEASURE_EVERY,
    ) -> None:
        self._resources = resources
        self._beat = beat
        self._settle_after = settle_after
        self._measure_every = measure_every
        # Notified when a run ends.
        self._changed = threading.Condition()
        # By lease: a retried run may be executed while the worker of its earlier attempt is still blocked.
        self._running: dict[str, RunningRun] = {}
        self._report_at: dict[int, float] = {}

    def work(self, shard: int) -> None:
        """Execute runs until none is left for this shard. If the database cannot be used, try again in some seconds."""
        try:
            with self._resources.store.database.long_wait():
                self._work(shard)
        except StoreError as error:
            self._resources.wakeups.wake_at(shard, self._resources.clock() + _CLAIM_AGAIN_AFTER)
            if time.monotonic() >= self._report_at.get(shard, 0.0):
                _log.error("Shard %d cannot start a run now: %s", shard, error)
                self._report_at[shard] = time.monotonic() + _REPEAT_EVERY

    def running(self) -> set[str]:
        """The ids of the runs that are being executed."""
        with self._changed:
            return {each.run.run_id for each in self._running.values()}

    def _work(self, shard: int) -> None:
        while not self._resources.stopping.is_set() and prepare_claim(self._resources, shard):
            lease = str(uuid.uuid4())
            run = self._resources.store.queue.claim(
                shard, lease, now=self._resources.clock(), lease_seconds=LEASE_SECONDS
            )
            if run is None:
                return
            self._execute(run, lease, self._resources.shards[shard])

    def begin_stop(self) -> list[str]:
        """Claim no more runs; the running ones are requeued when their phase has ended. Idempotent.

        A run that has all its files is finished: it still pushes its commit and opens its pull request.

        Returns:
            the running runs, for display.
        """
        with self._changed:
            self._resources.stopping.set()
            return sorted(map(str, self._running.values()))

    def stop(self) -> list[str]:
        """Claim no more runs and interrupt the running ones; returns them, for display. Idempotent."""
        running = self.begin_stop()
        with self._changed:
            for each in self._running.values():
                each.token.cancel(InterruptReason.SHUTDOWN)
        return running

    def wait(self, seconds: float) -> bool:
        """Wait until no run is running; False if that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, max(0.0, seconds))

    def _execute(self, run: Run, lease: str, shard: ShardNames) -> None:
        token = CancelToken()
        execution = Execution(self._resources, run, lease, shard, token, self._measure_every)
        with self._changed:
            self._running[lease] = RunningRun(run, token, execution)
            if self._resources.stopping.is_set():
                token.cancel(InterruptReason.SHUTDOWN)
        resources = self._resources

        def settle() -> None:
            settle_cancelled(resources, run.run_id, lease)
            self._forget(lease)

        try:
            with Heartbeat(
                resources.store,
                run,
                lease,
                token,
                clock=resources.clock,
                settle=settle,
                beat=self._beat,
                settle_after=self._settle_after,
            ):
                try:
                    execution.run()
                except StoreError as error:
                    if isinstance(error, LeaseLost):
                        raise
                    _log.error("Run %s stops until its state can be saved again: %s", run.run_id, error)
                    # The run is not the cause if the whole database cannot be used.
                    execution.end_containers()
                    self._release(run.run_id, lease, interrupted=not isinstance(error, DatabaseUnusable))
                except MemoryError:
                    _log.error("Run %s is interrupted, to resume: the appliance has no memory left.", run.run_id)
                    execution.end_containers()
                    self._release(run.run_id, lease, interrupted=True)
        except LeaseLost:
            _log.warning("Run %s no longer belongs to this worker, which stops.", run.run_id)
            remove_leftovers(resources, run.run_id)
        finally:
            self._forget(lease)

    def _forget(self, lease: str) -> None:
        with self._changed:
            self._running.pop(lease, None)
            self._changed.notify_all()

    def _release(self, run_id: str, lease: str, *, interrupted: bool) -> None:
        """Requeue the run as soon as the database accepts a write; the run continues at its first unfinished phase.

        Raises:
            LeaseLost: the claim is over.
        """
        repeat_at = time.monotonic() + _REPEAT_EVERY
        while not self._resources.stopping.wait(_RELEASE_AGAIN_EVERY):
            try:
                complete_records(self._resources, run_id)
                self._resources.store.queue.release(run_id, lease, waiting_for=None, interrupted=interrupted)
            except LeaseLost:
                raise
            except StoreError as error:
                if time.monotonic() >= repeat_at:
                    _log.error("Run %s is interrupted, and cannot be queued again yet: %s", run_id, error)
                    repeat_at = time.monotonic() + _REPEAT_EVERY
                continue
            return
