"""Recover from a crash before any worker starts. The caller has the data folder's lock."""

import logging

import msgspec

from moonmind_appliance.errors import EngineError
from moonmind_appliance.phases import LABEL_APPLIANCE, LABEL_ROLE, LABEL_RUN
from moonmind_appliance.resources import Resources
from moonmind_appliance.scheduling.wake import wake_queued
from moonmind_appliance.store.shards import ShardChange

_log = logging.getLogger(__name__)

# A sign-in may be in progress in another process, and a check may be renewing a login: if it were killed, the old
# tokens would be invalid and the new ones lost. Both containers end by themselves.
_LIVES_ELSEWHERE = frozenset({"login", "check"})


class Recovered(msgspec.Struct, frozen=True):
    """What was recovered."""

    containers_removed: list[str]
    runs_requeued: list[str]
    runs_queued: int


def recover(resources: Resources) -> Recovered:
    """Remove orphaned containers, return their runs to the queue, and wake shards. Idempotent.

    Does not fail if the engine does not answer: runs wait for it, and starting a run removes its leftovers first.
    """
    removed = remove_orphans(resources)
    requeued = []
    for run in resources.store.run_lists.in_progress():
        if resources.store.queue.requeue_abandoned(run.run_id, run.lease):
            requeued.append(run.run_id)
            _want_check(resources, run.shard)
            _log.info("Run %s was interrupted; it resumes at its first unfinished phase.", run.run_id)
    return Recovered(removed, requeued, wake_queued(resources))


def _want_check(resources: Resources, shard: int | None) -> None:
    """The agent may have been killed while it renewed its login, with the old tokens invalid: check before use."""
    if shard is not None and shard < len(resources.shards):
        resources.store.shards.change(
            shard, lambda known: ShardChange(msgspec.structs.replace(known, check_wanted=True))
        )


def remove_orphans(resources: Resources) -> list[str]:
    """Remove this appliance's containers that belong to no execution; returns their names."""
    removed = []
    try:
        found = resources.engine.containers({LABEL_APPLIANCE: resources.appliance_id})
    except EngineError as error:
        _log.warning("Cannot search for containers of an earlier process: %s", error)
        return []
    for container in found:
        lives_elsewhere = container.running and container.labels.get(LABEL_ROLE) in _LIVES_ELSEWHERE
        if lives_elsewhere and LABEL_RUN not in container.labels:
            continue
        try:
            resources.engine.remove(container.container_id)
            removed.append(container.name)
        except EngineError as error:
            _log.warning("The container %s of an earlier process could not be removed yet: %s", container.name, error)
    return removed
