"""Before the workers start, everything that a crash left is recovered; objects of others are not changed."""

import hashlib

import pytest

from moonmind_appliance.errors import EngineError, EngineUnreachable
from moonmind_appliance.execution.artifacts import RunArtifacts
from moonmind_appliance.execution.heartbeat import LEASE_SECONDS
from moonmind_appliance.execution.recover import recover, requeue_expired
from moonmind_appliance.models import (
    LABEL_APPLIANCE,
    LABEL_ROLE,
    LABEL_RUN,
    ArtifactType,
    ContainerSpec,
    Limits,
    PhaseName,
    RunStatus,
    WaitingFor,
    WaitReason,
)
from tests.appliance_under_test import ApplianceUnderTest
from tests.containers.fake import JOB_IMAGE
from tests.fakes import ANN


def box(appliance: ApplianceUnderTest, name: str, *, running: bool = True, **labels: str) -> None:
    """A container with these labels (`run`, `role`; `owner` is this appliance unless given)."""
    known = {"owner": LABEL_APPLIANCE, "run": LABEL_RUN, "role": LABEL_ROLE}
    labelled = {known[key]: value for key, value in ({"owner": appliance.resources.appliance_id} | labels).items()}
    appliance.engine.start(
        ContainerSpec(name=name, image=JOB_IMAGE, command=["x"], labels=labelled, limits=Limits(1, 1, 1)), run=running
    )


def test_a_run_in_progress_is_queued_again_and_wakes_a_shard(appliance: ApplianceUnderTest) -> None:
    """It counts as interrupted, and continues under a new claim."""
    run = appliance.submit()
    appliance.store.queue.claim(0, "dead", now=appliance.clock(), lease_seconds=30)
    appliance.wakeups.woken.clear()
    recovered = recover(appliance.resources)
    kept = appliance.stored(run)
    assert recovered.runs_requeued == [run.run_id]
    assert (kept.status, kept.interruptions, kept.lease) == (RunStatus.QUEUED, 1, None)
    assert appliance.wakeups.woken
    assert appliance.kinds(run)[-1] == "run.requeued"


def test_recovering_twice_does_nothing_more(appliance: ApplianceUnderTest) -> None:
    """The second time nothing is found; shards are woken again, which is harmless."""
    appliance.submit()
    appliance.store.queue.claim(0, "dead", now=appliance.clock(), lease_seconds=30)
    box(appliance, "left", run="x", role="agent")
    recover(appliance.resources)
    appliance.wakeups.woken.clear()
    again = recover(appliance.resources)
    assert appliance.wakeups.woken
    assert (again.containers_removed, again.runs_requeued) == ([], [])


def test_a_run_whose_cancel_was_asked_before_the_crash_is_cancelled(appliance: ApplianceUnderTest) -> None:
    """It does not start again."""
    run = appliance.submit()
    appliance.store.queue.claim(0, "dead", now=appliance.clock(), lease_seconds=30)
    appliance.store.runs.request_cancel(run.run_id, now=appliance.clock())
    recover(appliance.resources)
    assert appliance.stored(run).status is RunStatus.CANCELLED


def test_left_containers_are_removed_and_others_are_not(appliance: ApplianceUnderTest) -> None:
    """Those of runs, of reads of a login, and ended ones are removed; a running sign-in or check stays."""
    box(appliance, "agent", run="a", role="agent")
    box(appliance, "git", run="a", role="git")
    box(appliance, "look", role="look", running=False)
    box(appliance, "ended-check", role="check", running=False)
    box(appliance, "ended-login", role="login", running=False)
    box(appliance, "login", role="login")
    box(appliance, "check", role="check")
    box(appliance, "theirs", owner="another", run="b", role="agent")
    removed = recover(appliance.resources).containers_removed
    assert sorted(removed) == ["agent", "ended-check", "ended-login", "git", "look"]
    assert appliance.containers() == ["check", "login", "theirs"]


def test_a_container_that_cannot_be_removed_does_not_block_others(appliance: ApplianceUnderTest) -> None:
    """It is tried again later."""
    for name in ("a", "b", "c"):
        box(appliance, name, run=name, role="agent")
    appliance.engine.fail(EngineError("removal is in progress"), method="remove", at=2)
    assert recover(appliance.resources).containers_removed == ["a", "c"]


def test_an_engine_that_does_not_answer_stops_no_start(appliance: ApplianceUnderTest) -> None:
    """Runs are queued again anyway; starting one removes its leftovers."""
    run = appliance.submit()
    appliance.store.queue.claim(0, "dead", now=appliance.clock(), lease_seconds=30)
    appliance.engine.fail(EngineUnreachable("no engine"), method="containers")
    assert recover(appliance.resources).runs_requeued == [run.run_id]


def test_a_wait_until_a_time_is_scheduled_again(appliance: ApplianceUnderTest) -> None:
    """For the time that the run waits for, on a shard that exists."""
    run = appliance.submit(ANN, shard=1)
    until = appliance.clock().replace(hour=18)
    appliance.store.queue.wait(run.run_id, WaitingFor(WaitReason.DISK, until))
    recover(appliance.resources)
    assert (1, until) in appliance.wakeups.timed


def test_a_run_whose_lease_lapsed_goes_on(appliance: ApplianceUnderTest) -> None:
    """Its worker ended without releasing it, for example because the disk was full: no restart is needed."""
    run = appliance.submit()
    appliance.store.queue.claim(0, "dead", now=appliance.clock(), lease_seconds=LEASE_SECONDS)
    appliance.clock.advance(seconds=LEASE_SECONDS + 59)
    assert requeue_expired(appliance.resources) == []
    appliance.clock.advance(seconds=2)
    assert requeue_expired(appliance.resources) == [run.run_id]
    assert appliance.stored(run).interruptions == 1
    appliance.work()
    assert appliance.stored(run).status is RunStatus.SUCCEEDED


def test_a_run_whose_lease_is_kept_alive_is_left_alone(appliance: ApplianceUnderTest) -> None:
    """However long it takes."""
    run = appliance.submit()
    appliance.store.queue.claim(0, "alive", now=appliance.clock(), lease_seconds=LEASE_SECONDS)
    for _ in range(5):
        appliance.clock.advance(hours=1)
        appliance.store.queue.heartbeat(run.run_id, "alive", now=appliance.clock(), lease_seconds=LEASE_SECONDS)
        assert requeue_expired(appliance.resources) == []


def test_a_run_that_this_process_still_executes_is_left_alone(appliance: ApplianceUnderTest) -> None:
    """Its claim is renewed as soon as the database accepts a write again."""
    run = appliance.submit()
    appliance.store.queue.claim(0, "alive", now=appliance.clock(), lease_seconds=LEASE_SECONDS)
    appliance.clock.advance(hours=1)
    assert requeue_expired(appliance.resources, running={run.run_id}) == []


def test_a_claim_from_before_the_clock_was_set_back_is_over(appliance: ApplianceUnderTest) -> None:
    """Its time is an hour ahead, and nothing renews it; a claim that is renewed has a time of the new clock."""
    run = appliance.submit()
    appliance.store.queue.claim(0, "lease", now=appliance.clock(), lease_seconds=LEASE_SECONDS)
    appliance.clock.advance(hours=-1)
    assert requeue_expired(appliance.resources, running={run.run_id}) == []
    appliance.store.queue.heartbeat(run.run_id, "lease", now=appliance.clock(), lease_seconds=LEASE_SECONDS)
    assert requeue_expired(appliance.resources) == []
    appliance.clock.advance(hours=-1)
    assert requeue_expired(appliance.resources) == [run.run_id]


@pytest.mark.parametrize("damaged", ["later", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00.000000Z"])
def test_a_claim_with_an_impossible_time_is_over(appliance: ApplianceUnderTest, damaged: str) -> None:
    """It must not keep other runs from being queued again; a worker that lives corrects it with its next heartbeat."""
    runs = [appliance.submit(), appliance.submit()]
    for shard in (0, 1):
        appliance.store.queue.claim(shard, f"dead-{shard}", now=appliance.clock(), lease_seconds=LEASE_SECONDS)
    with appliance.store.database.write() as connection:
        connection.execute("UPDATE runs SET lease_until = ? WHERE run_id = ?", (damaged, runs[0].run_id))
    assert requeue_expired(appliance.resources) == [runs[0].run_id]
    appliance.clock.advance(hours=1)
    assert requeue_expired(appliance.resources) == [runs[1].run_id]


def test_the_artifacts_of_a_cut_off_run_are_recorded_as_they_are_on_disk(appliance: ApplianceUnderTest) -> None:
    """A log that was still growing, a file replaced without its record, a record without a file, and a partial file."""
    run, resources = appliance.submit(), appliance.resources
    artifacts = RunArtifacts(
        run.run_id, store=appliance.store, files=resources.files, redactor=resources.redactor, clock=appliance.clock
    )
    log = artifacts.log(PhaseName.GIT_CLONE, 1, ArtifactType.STDOUT_LOG)
    log.write(b"Cloning\n")
    for name in ("replaced.json", "gone.json"):
        artifacts.keep(name, ArtifactType.COMMIT_STATUS, PhaseName.COMMIT_PUSH, b"{}", "application/json")
    folder = resources.files.path(log.storage_path).parent
    (folder / "replaced.json").write_bytes(b'{"a": 1}')
    (folder / "gone.json").unlink()
    (folder / ".0123.part").write_bytes(b"half")
    appliance.store.queue.claim(0, "dead", now=appliance.clock(), lease_seconds=30)
    recover(resources)
    recorded = {entry.name: (entry.size_bytes, entry.sha256) for entry in appliance.store.artifacts.list(run.run_id)}
    assert recorded == {
        "git_clone.stdout.log": (8, hashlib.sha256(b"Cloning\n").hexdigest()),
        "replaced.json": (8, hashlib.sha256(b'{"a": 1}').hexdigest()),
    }
    assert sorted(path.name for path in folder.iterdir()) == sorted(recorded)
