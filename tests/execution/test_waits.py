"""What a run waits for instead of failing; `test_execute.py` and `test_github_wait.py` show it with whole runs."""

from datetime import timedelta

import msgspec
import pytest

from moonmind_appliance.errors import (
    ContainerLost,
    DatabaseUnusable,
    DiskFull,
    EngineUnreachable,
    FileUnusable,
    NameTaken,
    StoreError,
)
from moonmind_appliance.execution.waits import is_engine_failure, timed, wait_after
from moonmind_appliance.models import WaitingFor, WaitReason
from tests.appliance_under_test import ApplianceUnderTest
from tests.fakes import NOW

ENGINE, DISK = WaitReason.ENGINE, WaitReason.DISK


@pytest.mark.parametrize(
    ("error", "interruptions", "reason"),
    [
        (EngineUnreachable("x"), 9, ENGINE),
        (ContainerLost("x"), 0, ENGINE),
        (NameTaken("x", {}, running=True), 1, ENGINE),
        (ContainerLost("x"), 2, None),
        (DiskFull("x"), 9, DISK),
        (FileUnusable("x"), 9, DISK),
        (StoreError("x"), 0, None),
        (DatabaseUnusable("x"), 0, None),
        (ValueError("x"), 0, None),
    ],
)
def test_what_a_run_waits_for(
    appliance: ApplianceUnderTest, error: Exception, interruptions: int, reason: WaitReason | None
) -> None:
    """Faults that end by themselves. An engine that fails again and again may do so because of the run."""
    run = msgspec.structs.replace(appliance.submit(), interruptions=interruptions)
    waits = wait_after(appliance.resources, run, error)
    assert (waits and waits.reason) == reason
    assert waits is None or waits.until is not None


def test_a_database_that_fails_on_a_full_disk_is_waited_for(appliance: ApplianceUnderTest) -> None:
    """SQLite does not always name the disk as the reason."""
    resources = appliance.resources
    full = msgspec.structs.replace(resources, settings=msgspec.structs.replace(resources.settings, min_free_disk=2**62))
    waits = wait_after(full, appliance.submit(), StoreError("x"))
    assert waits is not None
    assert waits.reason is DISK


def test_only_an_engine_that_answers_fails() -> None:
    """Waits for an engine that does not are not counted as interruptions."""
    assert is_engine_failure(ContainerLost("x"))
    assert not is_engine_failure(EngineUnreachable("x"))
    assert not is_engine_failure(StoreError("x"))


@pytest.mark.parametrize("waiting_for", [WaitingFor(WaitReason.LOGIN), WaitingFor(WaitReason.QUOTA, NOW)])
def test_other_waits_keep_their_time(waiting_for: WaitingFor) -> None:
    """Also if they have none: a person ends them."""
    assert timed(waiting_for, NOW) == waiting_for


def test_a_busy_shard_is_tried_again() -> None:
    """After some seconds."""
    assert timed(WaitingFor(WaitReason.SHARD_BUSY), NOW).until == NOW + timedelta(seconds=15)
