"""Removes unused objects from the engine, by one list of this appliance's objects and one table of what is removed."""

import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from enum import Enum, auto

import msgspec

from moonmind_appliance.errors import EngineError
from moonmind_appliance.models import FINAL_RUN_STATUSES, LABEL_APPLIANCE, LABEL_ROLE, LABEL_RUN, Run, RunStatus
from moonmind_appliance.resources import Resources

_log = logging.getLogger(__name__)


class When(Enum):
    """The occasions of a sweep."""

    START = auto()
    """Before the workers start: no execution is running."""
    PERIODIC = auto()
    """Every few minutes, while runs execute."""
    RETENTION = auto()
    """Every hour, for objects after their retention time."""


class OwnObject(msgspec.Struct, frozen=True):
    """A container or a volume of this appliance. `run_id` is None if it belongs to no run."""

    key: str
    name: str
    is_volume: bool
    run_id: str | None
    role: str | None
    running: bool


class _Facts(msgspec.Struct, frozen=True):
    """What a rule may use.

    Attributes:
        run: the object's run, if it has one.
        stopped_before: whether the object was already stopped at the last periodic sweep.
        over: whether the run's retention time has ended.
    """

    run: Run | None
    stopped_before: bool
    over: bool


def _of_login_and_not_in_use(found: OwnObject, _facts: _Facts) -> bool:
    # A sign-in may be in progress in another process, and a check may be renewing a login: if it were killed, the old
    # tokens would be invalid and the new ones lost. Both containers end by themselves.
    return not (found.running and found.role in {"login", "check"})


def _of_login_and_ended(found: OwnObject, facts: _Facts) -> bool:
    # The container that reads a login file is created and removed within a second, and is never started.
    return not found.running and facts.stopped_before


def _of_no_execution(_found: OwnObject, facts: _Facts) -> bool:
    return facts.run is None or facts.run.status is not RunStatus.IN_PROGRESS


# Key: the occasion, whether the object is a volume, and whether it belongs to a run. Other objects are not removed.
_RULES: dict[tuple[When, bool, bool], Callable[[OwnObject, _Facts], bool]] = {
    (When.START, False, True): lambda _found, _facts: True,
    (When.START, False, False): _of_login_and_not_in_use,
    (When.PERIODIC, False, True): _of_no_execution,
    (When.PERIODIC, False, False): _of_login_and_ended,
    (When.RETENTION, True, True): lambda _found, facts: facts.over,
}


class Swept(msgspec.Struct, frozen=True):
    """What was removed, and what should have been and could not be removed yet."""

    removed: list[OwnObject] = []
    failed: list[OwnObject] = []

    @property
    def names(self) -> list[str]:
        """The names of what was removed."""
        return [found.name for found in self.removed]


class Sweeper:
    """Sweeps one engine. Remembers which objects were stopped at the last periodic sweep."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._stopped: set[str] = set()

    def sweep(self, when: When, *, expired: Collection[str] = ()) -> Swept:
        """Remove what the table lists. Idempotent. Does not raise if the engine fails: the next sweep tries again.

        Args:
            when: the occasion.
            expired: ids of runs whose retention time is known to have ended.
        """
        swept = Swept()
        try:
            objects = own_objects(self._resources, volumes=when is When.RETENTION)
        except EngineError as error:
            _log.warning("Cannot list the containers and volumes of this appliance now: %s", error)
            objects = []
        for found in objects:
            if self._goes(found, when, expired):
                (swept.removed if self._remove(found) else swept.failed).append(found)
        if when is When.PERIODIC:
            self._stopped = {found.key for found in objects if not found.running}
        return swept

    def _goes(self, found: OwnObject, when: When, expired: Collection[str]) -> bool:
        rule = _RULES.get((when, found.is_volume, found.run_id is not None))
        if rule is None:
            return False
        # Read after the object was listed: an execution has its claim before its containers.
        run = None if found.run_id is None else self._resources.store.runs.get(found.run_id, text=False)
        over = found.run_id in expired or is_over(self._resources, run, self._resources.clock())
        return rule(found, _Facts(run, found.key in self._stopped, over))

    def _remove(self, found: OwnObject) -> bool:
        engine = self._resources.engine
        try:
            (engine.remove_volume if found.is_volume else engine.remove)(found.key)
        except EngineError as error:
            _log.warning("%s could not be removed yet: %s", found.name, error)
            return False
        _log.info("Removed %s: it is no longer used.", found.name)
        return True


def own_objects(resources: Resources, *, volumes: bool) -> list[OwnObject]:
    """This appliance's containers, or its volumes.

    Raises:
        EngineError: the engine failed.
    """
    label = {LABEL_APPLIANCE: resources.appliance_id}
    if volumes:
        listed = [(each.name, each.name, False, each.labels) for each in resources.engine.volumes(label)]
    else:
        listed = [
            (each.container_id, each.name, each.running, each.labels) for each in resources.engine.containers(label)
        ]
    return [
        OwnObject(key, name, volumes, labels.get(LABEL_RUN), labels.get(LABEL_ROLE), running)
        for key, name, running, labels in listed
    ]


def is_over(resources: Resources, run: Run | None, now: datetime) -> bool:
    """Whether the run's retention time has ended; True if there is no such run."""
    if run is None:
        return True
    kept = timedelta(seconds=resources.settings.artifact_retention)
    return run.status in FINAL_RUN_STATUSES and (run.completed_at or run.accepted_at) + kept < now
