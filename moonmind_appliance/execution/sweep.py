"""Removes unused containers, by one list of this appliance's containers and one table of what is removed."""

import logging
from collections.abc import Callable
from enum import Enum, auto

import msgspec

from moonmind_appliance.errors import EngineError, UnreadableRow
from moonmind_appliance.models import LABEL_APPLIANCE, LABEL_ROLE, LABEL_RUN, ContainerState, Run, RunStatus
from moonmind_appliance.phases.renewals import wait_for_renewals
from moonmind_appliance.resources import Resources

_log = logging.getLogger(__name__)


class When(Enum):
    """The occasions of a sweep."""

    START = auto()
    """Before the workers start: no execution is running."""
    PERIODIC = auto()
    """Every few minutes, while runs execute."""


class OwnContainer(msgspec.Struct, frozen=True):
    """A container of this appliance. `run_id` is None if it belongs to no run."""

    key: str
    name: str
    run_id: str | None
    role: str | None
    running: bool

    @property
    def state(self) -> ContainerState:
        """The container as the engine listed it, with the labels that are known here."""
        labels = {LABEL_RUN: self.run_id or "", LABEL_ROLE: self.role or ""}
        return ContainerState(self.name, self.key, self.running, labels)


class _Facts(msgspec.Struct, frozen=True):
    """What a rule may use.

    Attributes:
        run: the container's run, if it has one.
        stopped_before: whether the container was already stopped at the last periodic sweep.
    """

    run: Run | None
    stopped_before: bool


def _of_login_and_not_in_use(found: OwnContainer, _facts: _Facts) -> bool:
    # A sign-in may be in progress in another process, and a check may be renewing a login: if it were killed, the old
    # tokens would be invalid and the new ones lost. Both containers end by themselves.
    return not (found.running and found.role in {"login", "check"})


def _of_login_and_ended(found: OwnContainer, facts: _Facts) -> bool:
    # The container that reads a login file is created and removed within a second, and is never started.
    return not found.running and facts.stopped_before


def _of_no_execution(_found: OwnContainer, facts: _Facts) -> bool:
    return facts.run is None or facts.run.status is not RunStatus.IN_PROGRESS


# Key: the occasion, and whether the container belongs to a run.
_RULES: dict[tuple[When, bool], Callable[[OwnContainer, _Facts], bool]] = {
    (When.START, True): lambda _found, _facts: True,
    (When.START, False): _of_login_and_not_in_use,
    (When.PERIODIC, True): _of_no_execution,
    (When.PERIODIC, False): _of_login_and_ended,
}


class Sweeper:
    """Sweeps one engine. Remembers which containers were stopped at the last periodic sweep."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._stopped: set[str] = set()

    def sweep(self, when: When) -> list[str]:
        """Remove what the table lists; returns the names. Idempotent.

        Does not raise if the engine fails: the next sweep tries again.
        """
        try:
            containers = own_containers(self._resources)
        except EngineError as error:
            _log.warning("Cannot list the containers of this appliance now: %s", error)
            containers = []
        going = [found for found in containers if self._goes(found, when)]
        wait_for_renewals(self._resources.engine, [found.state for found in going])
        removed = [found.name for found in going if self._remove(found)]
        if when is When.PERIODIC:
            self._stopped = {found.key for found in containers if not found.running}
        return removed

    def _goes(self, found: OwnContainer, when: When) -> bool:
        # Read after the container was listed: an execution has its claim before its containers.
        try:
            run = None if found.run_id is None else self._resources.store.runs.get(found.run_id, text=False)
        except UnreadableRow as error:
            # At a start nothing executes it. Later a worker may, if the damage is younger than its claim.
            _log.warning("%s", error)
            return when is When.START
        return _RULES[when, found.run_id is not None](found, _Facts(run, found.key in self._stopped))

    def _remove(self, found: OwnContainer) -> bool:
        try:
            self._resources.engine.remove(found.key)
        except EngineError as error:
            _log.warning("%s could not be removed yet: %s", found.name, error)
            return False
        _log.info("Removed %s: it is no longer used.", found.name)
        return True


def own_containers(resources: Resources) -> list[OwnContainer]:
    """This appliance's containers.

    Raises:
        EngineError: the engine failed.
    """
    return [
        OwnContainer(
            each.container_id, each.name, each.labels.get(LABEL_RUN), each.labels.get(LABEL_ROLE), each.running
        )
        for each in resources.engine.containers({LABEL_APPLIANCE: resources.appliance_id})
    ]
