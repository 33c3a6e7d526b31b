"""Give back what a dead execution still holds: runs whose lease lapsed, and containers that nobody uses any more."""

import logging
from datetime import timedelta

from moonmind_appliance.errors import EngineError
from moonmind_appliance.models import ContainerState, RunStatus
from moonmind_appliance.phases import LABEL_APPLIANCE, LABEL_RUN
from moonmind_appliance.runs.tools import Tools

_log = logging.getLogger(__name__)

# Beyond the lease's own end: an engine or a disk that hangs for a moment is no death.
_GRACE = timedelta(seconds=60)


class Reaper:
    """Looks every few minutes. Start-up is `recover`'s: there no execution can be alive."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._unused: set[str] = set()

    def reap(self) -> None:
        """Return lapsed runs to the queue and remove left containers. Safe twice; wake the shards after it."""
        self.requeue_lapsed()
        self.remove_left_containers()

    def requeue_lapsed(self) -> list[str]:
        """Take back the runs whose claim has ended without a word, such as on a disk that was full; their ids."""
        store, now = self._tools.store, self._tools.clock()
        requeued = []
        for run in store.runs.in_progress():
            until = store.runs.lease_until(run.run_id)
            if until is not None and until + _GRACE < now and store.runs.requeue_abandoned(run.run_id, run.lease):
                requeued.append(run.run_id)
                _log.warning(
                    "Run %s: its lease expired at %s; it resumes at its first unfinished phase.", run.run_id, until
                )
        return requeued

    def remove_left_containers(self) -> list[str]:
        """Remove this appliance's containers of runs that nobody executes, and ended ones; their names.

        What has not run for the time between two looks has ended: a look at a login is created, read and removed
        within a second.
        """
        removed, unused = [], set()
        try:
            for container in self._tools.engine.containers({LABEL_APPLIANCE: self._tools.appliance_id}):
                if LABEL_RUN not in container.labels and not container.running:
                    unused.add(container.container_id)
                if self._is_left(container) and self._remove(container):
                    removed.append(container.name)
        except EngineError as error:
            _log.warning("Cannot search the engine for leftover containers now: %s", error)
        self._unused = unused
        return removed

    def _is_left(self, container: ContainerState) -> bool:
        if LABEL_RUN not in container.labels:
            return not container.running and container.container_id in self._unused
        # Asked after the container was seen: an execution has its claim before its containers.
        run = self._tools.store.runs.get(container.labels[LABEL_RUN])
        return run is None or run.status is not RunStatus.IN_PROGRESS

    def _remove(self, container: ContainerState) -> bool:
        try:
            self._tools.engine.remove(container.container_id)
        except EngineError as error:
            _log.warning("The container %s could not be removed: %s", container.name, error)
            return False
        _log.warning("The container %s was left by an execution that has ended; removed.", container.name)
        return True
