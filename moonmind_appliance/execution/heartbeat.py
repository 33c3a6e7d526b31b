"""Renews a run's claim while it is executed, and notices a cancel."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Self

from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.errors import InterruptReason, LeaseLost, StoreError
from moonmind_appliance.models import Run
from moonmind_appliance.store import Store

LEASE_SECONDS = 30
BEAT_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Heartbeat:
    """Runs a thread during a `with` block; it renews the claim every `beat` seconds."""

    def __init__(
        self,
        store: Store,
        run: Run,
        lease: str,
        token: CancelToken,
        *,
        clock: Callable[[], datetime],
        beat: float = BEAT_SECONDS,
    ) -> None:
        self._seconds = beat
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
        while not self._over.wait(self._seconds):
            try:
                cancelled = self._store.queue.heartbeat(
                    self._run_id, self._lease, now=self._clock(), lease_seconds=LEASE_SECONDS
                )
            except LeaseLost:
                self._token.cancel(InterruptReason.LEASE_LOST)
                return
            except StoreError as error:
                # A full disk must not end a run that is nearly done: the lease lasts for several beats.
                _log.warning("Run %s: the heartbeat was not saved: %s", self._run_id, error)
                continue
            if cancelled:
                self._token.cancel(InterruptReason.CANCELLED)
