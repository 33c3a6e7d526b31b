"""Takes runs for a shard, one after another; stops, and gives up a run that another worker claimed."""

import logging
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from moonmind_appliance.models import (
    PhaseName,
    PhaseStatus,
    RunStatus,
)
from moonmind_appliance.store import Store
from moonmind_appliance.store.connection import Database
from tests.appliance_under_test import ApplianceUnderTest, InBackground, ends
from tests.containers.fake_exec import FakeExec
from tests.fakes import ANN, BOB
from tests.scripted_acts import (
    PLAN,
    SPECIFY,
    TASKS,
    Blocked,
    with_login,
)


@pytest.mark.parametrize("place", ["clone", SPECIFY, "push"])
def test_a_stop_puts_the_run_back_and_the_next_start_finishes_it(appliance: ApplianceUnderTest, place: str) -> None:
    """At once; no container is left, it does not count as a crash, and there is one pull request in the end."""
    blocked = Blocked()
    if place == SPECIFY:
        appliance.agent.acts[SPECIFY] = [blocked]
    else:
        appliance.git_acts[place] = [blocked]
    run = appliance.submit()
    worker = InBackground(appliance.work)
    assert blocked.begun.wait(10)
    phase = {"clone": "start_job_container", SPECIFY: "speckit_specify", "push": "commit_push"}[place]
    assert appliance.executor.stop() in ([f"{run.run_id} ({phase})"], [f"{run.run_id} (git_clone)"])
    worker.join()
    stopped = appliance.stored(run)
    assert (stopped.status, stopped.waiting_for, stopped.interruptions) == (RunStatus.QUEUED, None, 0)
    assert appliance.containers() == []
    appliance.work()
    assert appliance.stored(run).status is RunStatus.QUEUED, "a stopping executor claims nothing"
    appliance.after()
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert len(appliance.github.pull_requests(appliance.slug)) == 1


@pytest.mark.parametrize("phase", [SPECIFY, PLAN])
def test_a_stop_lets_the_phase_end(appliance: ApplianceUnderTest, phase: PhaseName) -> None:
    """The phase succeeds; then the run is requeued without another turn, and the next start continues after it."""

    def begin_stop(_: FakeExec) -> None:
        assert appliance.executor.begin_stop() == [f"{run.run_id} ({phase.value})"]
        assert not appliance.executor.wait(0.05)

    appliance.agent.acts[phase] = [begin_stop]
    run = appliance.submit()
    other = appliance.submit()
    appliance.work()
    stopped = appliance.stored(run)
    assert (stopped.status, stopped.interruptions) == (RunStatus.QUEUED, 0)
    assert stopped.phase(phase).status is PhaseStatus.SUCCEEDED
    assert (appliance.containers(), appliance.executor.wait(0)) == ([], True)
    appliance.after()
    appliance.work()
    assert [ends(appliance.stored(each)) for each in (run, other)] == [(RunStatus.SUCCEEDED, None)] * 2
    assert appliance.agent.turns == [SPECIFY, PLAN, TASKS] * 2


def test_a_stop_finishes_a_run_that_has_all_its_files(appliance: ApplianceUnderTest) -> None:
    """Push and pull request take seconds, and the reviewers need not wait for the restart."""

    def begin_stop(_: FakeExec) -> None:
        appliance.executor.begin_stop()

    appliance.agent.acts[TASKS] = [begin_stop]
    run, other = appliance.submit(), appliance.submit()
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.stored(other).status is RunStatus.QUEUED


def test_a_lost_lease_lets_go_of_the_row(appliance: ApplianceUnderTest) -> None:
    """The next claim owns it: the first one writes nothing more."""
    blocked = Blocked()
    appliance.agent.acts[PLAN] = [blocked]
    run = appliance.submit()
    worker = InBackground(appliance.work)
    assert blocked.begun.wait(10)
    assert appliance.store.queue.requeue_abandoned(run.run_id, appliance.stored(run).lease)
    other = appliance.store.queue.claim(1, "other", now=appliance.clock(), lease_seconds=30)
    assert other is not None
    worker.join()
    kept = appliance.stored(run)
    assert (kept.status, kept.lease, kept.shard) == (RunStatus.IN_PROGRESS, "other", 1)


def test_a_shard_executes_the_queue_and_alternates_between_users(appliance: ApplianceUnderTest) -> None:
    """Oldest first; while one user's run is in progress elsewhere, another user's comes before that user's next."""
    anns = [appliance.submit(ANN) for _ in range(2)]
    bobs = appliance.submit(BOB)
    blocked = Blocked()
    appliance.agent.acts[SPECIFY] = [blocked]
    worker = InBackground(lambda: appliance.work(0))
    assert blocked.begun.wait(10)
    claimed = appliance.store.queue.claim(1, "probe", now=appliance.clock(), lease_seconds=30)
    assert claimed is not None
    assert claimed.run_id == bobs.run_id
    appliance.store.queue.release(bobs.run_id, "probe", waiting_for=None, interrupted=False)
    appliance.work(1)
    assert [appliance.stored(run).status.value for run in (bobs, anns[1])] == ["succeeded", "succeeded"]
    appliance.executor.stop()
    worker.join()


def test_two_shards_work_side_by_side_each_under_its_own_lock(appliance: ApplianceUnderTest) -> None:
    """Two runs at once, on two logins, in six containers; neither waits for the other."""
    appliance.store.shards.change(0, with_login)
    appliance.store.shards.change(1, with_login)
    both = threading.Barrier(3)
    seen: list[list[str]] = []

    def meet(_process: FakeExec) -> None:
        both.wait(10)
        seen.append(appliance.containers())
        both.wait(10)

    appliance.agent.acts[SPECIFY] = [meet, meet]
    runs = [appliance.submit(ANN, shard=0), appliance.submit(ANN, shard=1)]
    workers = [InBackground(lambda shard=shard: appliance.work(shard)) for shard in (0, 1)]  # type: ignore[misc]
    both.wait(10)
    both.wait(10)
    for worker in workers:
        worker.join()
    assert [ends(appliance.stored(run)) for run in runs] == [(RunStatus.SUCCEEDED, None)] * 2
    assert set(seen[0]) == {
        *(shard.lock for shard in appliance.resources.shards),
        *(f"moonmind-git-{run.run_id}" for run in runs),
        *(f"moonmind-egress-{run.run_id}" for run in runs),
    }


def test_a_database_that_accepts_no_writes_for_a_while_interrupts_the_run_for_seconds(
    appliance: ApplianceUnderTest,
) -> None:
    """The worker keeps its claim, requeues the run as soon as it can, and continues it at the same phase.

    The run is not the cause, so this does not count towards `cut_off_too_often`. What its logs contain is recorded.
    """

    def lock(process: FakeExec) -> None:
        process.stdout.write(b'{"said": "so far"}\n')
        with appliance.store.database.read() as connection:
            connection.execute("PRAGMA query_only = ON")
        threading.Timer(0.5, connection.execute, ["PRAGMA query_only = OFF"]).start()

    appliance.agent.acts[PLAN] = [lock]
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == [SPECIFY, PLAN, PLAN, TASKS]
    (requeued,) = appliance.store.events.of_kinds(run.run_id, ["run.requeued"])
    assert requeued.data["interruptions"] == 0
    files = appliance.resources.files
    artifacts = appliance.store.artifacts.list(run.run_id)
    assert {each.name: each.size_bytes for each in artifacts} == {
        each.name: files.path(each.storage_path).stat().st_size for each in artifacts
    }
    assert "speckit_plan.stdout.jsonl" in {each.name for each in artifacts if each.size_bytes}


def test_a_shard_tries_again_if_the_database_cannot_be_used(
    appliance: ApplianceUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    """In some seconds, although no run waits for a time. The log has one line a minute, which is no traceback."""
    run = appliance.submit()
    with appliance.store.database.read() as connection:
        connection.execute("PRAGMA query_only = ON")
    appliance.work()
    appliance.work()
    again = appliance.clock() + timedelta(seconds=5)
    assert appliance.wakeups.timed == [(0, again)] * 2
    (line,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert line.getMessage().startswith("Shard 0 cannot start a run now: Database ")
    assert line.exc_info is None
    connection.execute("PRAGMA query_only = OFF")
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)


def test_a_write_waits_for_another_programs_lock(appliance: ApplianceUnderTest, tmp_path: Path) -> None:
    """It waits longer than a request would, so no phase is repeated."""
    database = tmp_path / "data" / "appliance.db"
    holder = sqlite3.connect(database, isolation_level=None, check_same_thread=False)

    def lock(_process: FakeExec) -> None:
        holder.execute("BEGIN IMMEDIATE")
        threading.Timer(0.5, holder.execute, ["COMMIT"]).start()

    appliance.agent.acts[PLAN] = [lock]
    impatient = Database(database, busy_seconds=0.05)
    appliance.with_resources(store=Store(impatient))
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == [SPECIFY, PLAN, TASKS]
    holder.close()
    impatient.close()
