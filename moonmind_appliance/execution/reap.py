"""Clean up after dead executions: requeue runs whose lease expired, and remove containers that are no longer used."""

import logging
from datetime import timedelta

from moonmind_appliance.errors import EngineError
from moonmind_appliance.models import ContainerState, RunStatus
from moonmind_appliance.phases import LABEL_APPLIANCE, LABEL_RUN
from moonmind_appliance.resources import Resources

_log = logging.getLogger(__name__)

# Grace after the end of the lease: the engine or the disk may only have hung for a moment.
_GRACE = timedelta(seconds=60)


class Reaper:
    """Runs every few minutes. At start-up `recover` does this: no execution can be alive then."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._unused: set[str] = set()

    def reap(self) -> None:
        """Requeue runs with an expired lease and remove leftover containers. Idempotent; wake the shards afterwards."""
        self.requeue_lapsed()
        self.remove_left_containers()

    def requeue_lapsed(self) -> list[str]:
        """Requeue runs whose claim expired without being released, such as on a full disk; returns their ids."""
        store, now = self._resources.store, self._resources.clock()
        requeued = []
        for run in store.run_lists.in_progress():
            until = store.queue.lease_until(run.run_id)
            if until is not None and until + _GRACE < now and store.queue.requeue_abandoned(run.run_id, run.lease):
                requeued.append(run.run_id)
                _log.warning(
                    "Run %s: its lease expired at %s; it resumes at its first unfinished phase.", run.run_id, until
                )
        return requeued

    def remove_left_containers(self) -> list[str]:
        """Remove this appliance's containers of runs that are not executed, and ended ones; returns their names.

        A container that is not running in two consecutive passes has ended: the container of a login look is created,
        read and removed within a second.
        """
        removed, unused = [], set()
        try:
            for container in self._resources.engine.containers({LABEL_APPLIANCE: self._resources.appliance_id}):
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
        # Read after the container was listed: an execution has its claim before its containers.
        run = self._resources.store.runs.get(container.labels[LABEL_RUN])
        return run is None or run.status is not RunStatus.IN_PROGRESS

    def _remove(self, container: ContainerState) -> bool:
        try:
            self._resources.engine.remove(container.container_id)
        except EngineError as error:
            _log.warning("The container %s could not be removed: %s", container.name, error)
            return False
        _log.warning("The container %s was left by an execution that has ended; removed.", container.name)
        return True
