"""Renews a run's claim while it is executed, notices a cancel, and settles the run if its worker is blocked."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Self

from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.errors import InterruptReason, LeaseLost, StoreError
from moonmind_appliance.models import Run
from moonmind_appliance.store import Store

LEASE_SECONDS = 30
BEAT_SECONDS = 2.0
# Seconds between two log lines about a heartbeat that is not saved.
_REPORT_EVERY = 60.0
# Seconds that a worker has to end a cancelled run itself. With the longest time until a beat notices the cancel, the
# run is cancelled within 5 s.
SETTLE_SECONDS = 2.5

_log = logging.getLogger(__name__)


class Heartbeat:
    """Runs a thread during a `with` block; it renews the claim every `beat` seconds.

    `settle` ends a cancelled run. It is called if the block has not ended `settle_after` seconds after the cancel was
    noticed, for example because the engine does not respond; it may raise StoreError, and is then called again.
    """

    def __init__(
        self,
        store: Store,
        run: Run,
        lease: str,
        token: CancelToken,
        *,
        clock: Callable[[], datetime],
        settle: Callable[[], None],
        beat: float = BEAT_SECONDS,
        settle_after: float = SETTLE_SECONDS,
    ) -> None:
        self._seconds = beat
        self._settle, self._settle_after = settle, settle_after
        self._store, self._run_id, self._lease, self._token, self._clock = store, run.run_id, lease, token, clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{run.short_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        report_at = 0.0
        settle_at: float | None = None
        while not self._over.wait(self._pause(settle_at)):
            try:
                if settle_at is not None and time.monotonic() >= settle_at:
                    self._settle()
                    self._token.cancel(InterruptReason.LEASE_LOST)
                    return
                cancelled = self._store.queue.heartbeat(
                    self._run_id, self._lease, now=self._clock(), lease_seconds=LEASE_SECONDS
                )
            except LeaseLost:
                self._token.cancel(InterruptReason.LEASE_LOST)
                return
            except StoreError as error:
                # A full disk must not end a run that is nearly done: the lease lasts for several beats.
                if time.monotonic() >= report_at:
                    _log.warning("Run %s: the heartbeat was not saved: %s", self._run_id, error)
                    report_at = time.monotonic() + _REPORT_EVERY
                continue
            report_at = 0.0
            if cancelled:
                self._token.cancel(InterruptReason.CANCELLED)
                settle_at = settle_at or time.monotonic() + self._settle_after

    def _pause(self, settle_at: float | None) -> float:
        """Seconds until the next beat, or until the run must be settled."""
        if settle_at is None:
            return self._seconds
        return min(self._seconds, max(0.0, settle_at - time.monotonic()) or self._seconds)
