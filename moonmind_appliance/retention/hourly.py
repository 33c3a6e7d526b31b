"""The hourly job: remove what is past its retention time, in a separate thread. Run rows are kept."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Collection

from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.resources import Resources
from moonmind_appliance.retention.plan import EVERYTHING, Kind, make_plan
from moonmind_appliance.retention.prune import LABELS, prune

_log = logging.getLogger(__name__)


def retain(resources: Resources, kinds: Collection[Kind] = EVERYTHING) -> list[str]:
    """Remove what `make_plan` lists; returns the ids of the runs without remains. Idempotent.

    What cannot be removed now is tried again at the next call.
    """
    plan = make_plan(resources, kinds)
    for problem in plan.not_examined:
        _log.info("Not examined by retention: %s", problem)
    done, removed, left = Counter[Kind](), set[str](), set[str]()
    for result in prune(resources, plan):
        if run_id := result.item.run_id:
            (left if result.problem else removed).add(run_id)
        if not result.problem:
            done[result.item.kind] += result.item.count if result.item.kind is Kind.EVENTS else 1
    if done:
        _log.info("Removed after retention: %s.", ", ".join(f"{count} {LABELS[kind]}" for kind, count in done.items()))
    return sorted(removed - left)


class HourlyRetention:
    """Runs `retain` in a separate thread: with many runs it takes minutes, and other periodic jobs do not wait for it.

    `succeeded_at` is when it last succeeded, in seconds since 1970; before that, when this object was created.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._thread: threading.Thread | None = None
        # Not at the start of the process: queued runs need the shards' locks then.
        self._kinds = EVERYTHING - {Kind.LOGIN_LEFTOVERS}
        self.succeeded_at = time.time()

    def start(self) -> None:
        """Start it, unless it still runs. For one thread."""
        if self._thread is None or not self._thread.is_alive():
            kinds, self._kinds = self._kinds, EVERYTHING
            self._thread = threading.Thread(target=self._run, args=(kinds,), name="retention", daemon=True)
            self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for its end; `resources.stopping` ends it early."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self, kinds: Collection[Kind]) -> None:
        try:
            retain(self._resources, kinds)
            self.succeeded_at = time.time()
        except ApplianceError as error:
            _log.warning("Retention stopped, and is tried again in an hour: %s", error)
        except Exception:  # noqa: BLE001 - the next time may succeed
            _log.exception("Retention failed.")
