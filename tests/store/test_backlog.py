"""The backlog in numbers: what runs wait for, for how long, and which shards work."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from moonmind_appliance.models import (
    FailureCode,
    Phase,
    PhaseName,
    PhaseStatus,
    Run,
    RunStatus,
    WaitingFor,
    WaitReason,
    failure,
)
from moonmind_appliance.store import Store
from moonmind_appliance.store.backlog import TURN, Backlog, Waiting
from tests.store_cost import counted

MakeRun = Callable[..., Run]
LOGIN = WaitingFor(WaitReason.LOGIN, None, "Shard 0 is not signed in.")


def at(store: Store, now: datetime) -> Backlog:
    return store.backlog.now(now)


def test_nothing(store: Store, now: datetime) -> None:
    """No runs, no groups."""
    assert at(store, now) == Backlog({}, {})


def test_queued_runs_are_grouped_by_reason(store: Store, make_run: MakeRun, now: datetime) -> None:
    """The age is the oldest one's, since its submission; a clock that was set back gives no negative age."""
    for minutes in (30, 10):
        store.runs.insert(make_run(accepted_at=now - timedelta(minutes=minutes)))
    store.runs.insert(make_run(accepted_at=now - timedelta(minutes=20), waiting_for=LOGIN))
    assert at(store, now).waiting == {TURN: Waiting(2, 1800.0), "login": Waiting(1, 1200.0)}
    assert at(store, now - timedelta(hours=2)).waiting[TURN] == Waiting(2, 0.0)


def test_runs_in_progress_are_counted_by_shard(store: Store, make_run: MakeRun, now: datetime) -> None:
    """They are not queued."""
    for _ in range(2):
        store.runs.insert(make_run())
    store.queue.claim(0, "a", now=now, lease_seconds=60)
    store.queue.claim(2, "b", now=now, lease_seconds=60)
    assert at(store, now) == Backlog({}, {0: 1, 2: 1})


def test_a_run_that_must_wait_again_is_as_old_as_its_wait(store: Store, claimed: Run) -> None:
    """Not as its submission an hour ago: it was in progress. A new reason does not begin a new wait."""
    store.queue.release(claimed.run_id, "mine", waiting_for=LOGIN, interrupted=False)
    began = store.events.after(0, run_id=claimed.run_id)[-1].at
    later = began + timedelta(seconds=90)
    assert at(store, later).waiting == {"login": Waiting(1, 90.0)}
    store.queue.wait(claimed.run_id, WaitingFor(WaitReason.DISK))
    assert at(store, later).waiting == {"disk": Waiting(1, 90.0)}


def test_an_attempt_without_progress_does_not_begin_a_new_wait(store: Store, claimed: Run, now: datetime) -> None:
    """As when the engine refuses each attempt, or GitHub its push: only a finished phase does."""
    run_id = claimed.run_id

    def attempt(finished: PhaseName) -> datetime:
        """It finishes a phase, then must wait; returns when."""
        for status in (PhaseStatus.RUNNING, PhaseStatus.SUCCEEDED, PhaseStatus.RETRYING):
            phase = Phase(phase=finished, status=status, attempt=1, started_at=now, completed_at=now)
            store.progress.save_phase(run_id, "mine", phase)
        store.queue.release(run_id, "mine", waiting_for=LOGIN, interrupted=False)
        waits = store.events.after(0, run_id=run_id)[-1].at
        assert store.queue.claim(1, "mine", now=now, lease_seconds=60)
        return waits

    first = attempt(PhaseName.START_JOB_CONTAINER)
    attempt(PhaseName.START_JOB_CONTAINER)
    store.queue.release(run_id, "mine", waiting_for=LOGIN, interrupted=False)
    assert at(store, first + timedelta(minutes=9)).waiting == {"login": Waiting(1, 540.0)}
    store.queue.claim(1, "mine", now=now, lease_seconds=60)
    later = attempt(PhaseName.SPECKIT_PLAN)
    store.queue.release(run_id, "mine", waiting_for=LOGIN, interrupted=False)
    assert at(store, later + timedelta(minutes=9)).waiting == {"login": Waiting(1, 540.0)}


def test_a_retried_run_is_as_old_as_its_retry(store: Store, claimed: Run, now: datetime) -> None:
    """Although it keeps its place in the queue."""
    what = failure(FailureCode.AGENT_SILENT, "No output.")
    store.progress.finish(claimed.run_id, "mine", RunStatus.FAILED, now=now, result_summary=None, failure=what)
    store.runs.retry(claimed.run_id, now=now + timedelta(days=7))
    assert at(store, now + timedelta(days=7, seconds=5)).waiting == {TURN: Waiting(1, 5.0)}


def test_a_run_without_events_and_a_reason_that_cannot_be_read(store: Store, make_run: MakeRun, now: datetime) -> None:
    """Count from the submission, as waiting for their turn."""
    run = store.runs.insert(make_run(accepted_at=now - timedelta(seconds=7)))
    with store.database.write() as connection:
        connection.execute("DELETE FROM events")
        connection.execute("UPDATE runs SET waiting_for = 'login' WHERE run_id = ?", (run.run_id,))
    assert at(store, now).waiting == {TURN: Waiting(1, 7.0)}


def test_events_that_cannot_be_read(store: Store, claimed: Run, now: datetime) -> None:
    """Do not prevent the count. Without a readable time the age is 0."""
    done = Phase(phase=PhaseName.PREPARE_JOB, status=PhaseStatus.RUNNING, attempt=1, started_at=now)
    store.progress.save_phase(claimed.run_id, "mine", done)
    done = msgspec.structs.replace(done, status=PhaseStatus.SUCCEEDED, completed_at=now)
    store.progress.save_phase(claimed.run_id, "mine", done)
    store.queue.release(claimed.run_id, "mine", waiting_for=LOGIN, interrupted=False)
    with store.database.write() as connection:
        connection.execute("UPDATE events SET at = 'then', data = 'no JSON'")
    assert at(store, now).waiting == {"login": Waiting(1, 0.0)}


def test_the_number_of_statements_and_rows_is_constant(store: Store, make_run: MakeRun, now: datetime) -> None:
    """Whatever the number of runs."""
    costs = []
    for _ in range(2):
        for _ in range(30):
            store.runs.insert(make_run())
        with counted(store) as cost:
            at(store, now)
        costs.append((cost.statements, cost.rows))
    assert costs[0] == costs[1]
