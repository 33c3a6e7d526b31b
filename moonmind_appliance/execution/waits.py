"""What a run waits for instead of failing: after which errors and results, and until when."""

import random
from datetime import datetime, timedelta

import msgspec

from moonmind_appliance.errors import DiskFull, EngineError, EngineUnreachable, FileUnusable, StoreError
from moonmind_appliance.execution.github_wait import EVENT_KINDS, given_up, next_pause, past_waits
from moonmind_appliance.models import PhaseName, Run, WaitingFor, WaitReason
from moonmind_appliance.phases import PhaseResult
from moonmind_appliance.resources import Resources
from moonmind_appliance.retention.disk import data_disk

# Attempts that start again after the engine refused a call or lost a container, before the run fails.
_MOST_ENGINE_FAILURES = 2
_ENGINE_PAUSE = timedelta(seconds=20)
_BUSY_PAUSE = timedelta(seconds=15)
_DISK_PAUSE = timedelta(seconds=15)


def wait_after(resources: Resources, run: Run, error: Exception) -> WaitingFor | None:
    """What the run waits for after this error; None if waiting does not help."""
    now = resources.clock()
    if isinstance(error, EngineUnreachable):
        return WaitingFor(WaitReason.ENGINE, now + _ENGINE_PAUSE, error.message)
    if isinstance(error, (DiskFull, StoreError)) and _disk_is_full(resources):
        # No shard claims a run until there is space. With a time, newer runs could overtake this one then.
        return WaitingFor(WaitReason.DISK, None, error.message)
    if isinstance(error, (DiskFull, FileUnusable)):
        return WaitingFor(WaitReason.DISK, now + _DISK_PAUSE, error.message)
    if is_engine_failure(error) and run.interruptions < _MOST_ENGINE_FAILURES:
        return WaitingFor(WaitReason.ENGINE, now + _ENGINE_PAUSE, resources.redactor.redact_text(str(error)))
    return None


def is_engine_failure(error: Exception) -> bool:
    """Whether the engine answered, but refused a call or lost a container."""
    return isinstance(error, EngineError) and not isinstance(error, (EngineUnreachable, DiskFull))


def timed(waiting_for: WaitingFor, now: datetime) -> WaitingFor:
    """Add the time of the next attempt to a wait that ends after a delay. Pure."""
    if waiting_for.until is not None or waiting_for.reason is not WaitReason.SHARD_BUSY:
        return waiting_for
    return msgspec.structs.replace(waiting_for, until=now + _BUSY_PAUSE)


def wait_for_github(resources: Resources, run: Run, name: PhaseName, result: PhaseResult) -> PhaseResult:
    """The result with a time to wait for, if GitHub cannot be used; as it is if the run has waited long enough."""
    outage = result.outage
    if outage is None:
        return result
    past = past_waits(resources.store.events.of_kinds(run.run_id, EVENT_KINDS), name)
    now = resources.clock()
    pause = next_pause(outage, past, now=now, random=random.random())  # noqa: S311 - jitter
    if pause is None:
        reason = None if result.failure is None else given_up(result.failure, past)
        return msgspec.structs.replace(result, failure=reason, outage=None)
    # Whole seconds: runs that wait for one limit then need few wake-ups.
    until = (now + timedelta(seconds=pause + 1)).replace(microsecond=0)
    waits = WaitingFor(WaitReason.GITHUB, until, outage.message)
    return msgspec.structs.replace(result, failure=None, waiting_for=waits)


def _disk_is_full(resources: Resources) -> bool:
    return data_disk(resources.settings).free < resources.settings.min_free_disk
