"""The queue: one claim owns a run, and a run returns to the queue with what it waits for."""

import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import pytest

from moonmind_appliance.errors import LeaseLost, StoreError
from moonmind_appliance.models import (
    LONGEST_PAUSE,
    Phase,
    PhaseName,
    PhaseStatus,
    Run,
    RunStatus,
    WaitingFor,
    WaitReason,
)
from moonmind_appliance.store import Store
from tests.store.stored import get, kinds

MakeRun = Callable[..., Run]

_CLAIM_ALL = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from moonmind_appliance.store import Store

store = Store.open(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for i in range(1000):
    run = store.queue.claim(0, f"{sys.argv[2]}-{i}", now=datetime.now(UTC), lease_seconds=60)
    if run is None:
        break
    print(run.run_id, flush=True)
"""


class TestClaim:
    def test_takes(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """A claim sets the run in progress on that shard, with that lease and an event."""
        run = store.runs.insert(make_run(waiting_for=WaitingFor(WaitReason.LOGIN)))
        taken = store.queue.claim(2, "lease", now=now, lease_seconds=60)
        assert taken == msgspec.structs.replace(
            run,
            status=RunStatus.IN_PROGRESS,
            shard=2,
            lease="lease",
            started_at=now,
            waiting_for=None,
        )
        assert store.runs.get(run.run_id) == taken
        assert store.queue.lease_until(run.run_id) == now + timedelta(seconds=60)
        event = store.events.after(0, run_id=run.run_id)[-1]
        assert (event.kind, event.shard, event.at) == ("run.claimed", 2, now)

    def test_nothing_to_take(self, store: Store, now: datetime) -> None:
        """An empty queue gives None."""
        assert store.queue.claim(0, "L", now=now, lease_seconds=60) is None

    def test_oldest_first(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """The oldest accepted run of a user comes first, for any order of inserts."""
        newer, older = make_run(), make_run()
        newer, older = (
            msgspec.structs.replace(newer, accepted_at=older.accepted_at),
            msgspec.structs.replace(older, accepted_at=newer.accepted_at),
        )
        for run in (newer, older):
            store.runs.insert(run)
        first = store.queue.claim(0, "L", now=now, lease_seconds=60)
        assert first is not None
        assert first.run_id == older.run_id

    def test_fairness(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """The user with the fewest runs in progress comes first: a long queue of one does not starve others."""
        for user in ("ann", "ann", "ann", "ann", "bob", "eve"):
            store.runs.insert(make_run(user))
        order = []
        for i in range(4):
            run = store.queue.claim(i, f"L{i}", now=now, lease_seconds=60)
            assert run is not None
            order.append(run.created_by.subject)
        assert order == ["ann", "bob", "eve", "ann"]
        bobs = next(run for run in store.run_lists.in_progress() if run.created_by.subject == "bob")
        store.runs.insert(make_run("bob"))
        assert bobs.lease is not None
        store.progress.finish(bobs.run_id, bobs.lease, RunStatus.SUCCEEDED, now=now, result_summary=None, failure=None)
        last = store.queue.claim(1, "L5", now=now, lease_seconds=60)
        assert last is not None
        assert last.created_by.subject == "bob"

    def test_pinned(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """Only its shard takes a pinned run, and it does not block other runs."""
        pinned = store.runs.insert(make_run(shard_pin=1))
        free = store.runs.insert(make_run())
        takes = [store.queue.claim(shard, f"L{i}", now=now, lease_seconds=60) for i, shard in enumerate((0, 0, 1))]
        assert [run and run.run_id for run in takes] == [free.run_id, None, pinned.run_id]

    @pytest.mark.parametrize("reason", LONGEST_PAUSE)
    def test_a_pause_from_before_the_clock_was_set_back_is_over(
        self, store: Store, make_run: MakeRun, now: datetime, reason: WaitReason
    ) -> None:
        """Its time is further ahead than the longest pause for that reason."""
        store.runs.insert(make_run(waiting_for=WaitingFor(reason, now + timedelta(seconds=20))))
        early, set_back = now - timedelta(seconds=10), now - LONGEST_PAUSE[reason]
        assert [store.queue.groups(at)[0].due for at in (early, set_back)] == [0, 1]
        assert store.queue.claim(0, "L", now=early, lease_seconds=60) is None
        assert store.queue.claim(0, "L", now=set_back, lease_seconds=60) is not None

    def test_waits_until(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """A run that waits for a time is not taken before it, and is taken at it."""
        until = now + timedelta(minutes=5)
        run = store.runs.insert(make_run(waiting_for=WaitingFor(WaitReason.QUOTA, until)))
        early = store.queue.claim(0, "L", now=until - timedelta(microseconds=1), lease_seconds=60)
        assert early is None
        taken = store.queue.claim(0, "L", now=until, lease_seconds=60)
        assert taken is not None
        assert taken.run_id == run.run_id

    def test_first_start_stays(self, store: Store, claimed: Run, now: datetime) -> None:
        """A second claim keeps the time of the first start."""
        store.queue.release(claimed.run_id, "mine", waiting_for=None, interrupted=False)
        again = store.queue.claim(0, "other", now=now + timedelta(hours=1), lease_seconds=60)
        assert again is not None
        assert (again.started_at, again.shard) == (now, 0)

    def test_threads(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """Many threads that claim at once take each run exactly once."""
        runs = [store.runs.insert(make_run(f"user{i % 3}")).run_id for i in range(60)]
        taken: list[str] = []
        begin = threading.Barrier(8)

        def work(number: int) -> None:
            begin.wait()
            while run := store.queue.claim(number, f"{number}-{len(taken)}", now=now, lease_seconds=60):
                taken.append(run.run_id)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Counter(taken) == Counter(runs)

    def test_processes(
        self, store: Store, make_run: MakeRun, in_process: Callable[..., "subprocess.Popen[str]"]
    ) -> None:
        """Several processes that claim at once take each run exactly once."""
        runs = [store.runs.insert(make_run(f"user{i % 3}")).run_id for i in range(60)]
        children = [in_process(_CLAIM_ALL, f"child{i}") for i in range(3)]
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        taken = [run_id for child in children for run_id in child.communicate()[0].split()]
        assert [child.returncode for child in children] == [0, 0, 0]
        assert Counter(taken) == Counter(runs)


class TestLease:
    @pytest.mark.parametrize(
        "write",
        [
            lambda s, r, at: s.queue.heartbeat(r, "other", now=at, lease_seconds=60),
            lambda s, r, at: s.progress.save_phase(
                r, "other", Phase(phase=PhaseName.GIT_CLONE, status=PhaseStatus.RUNNING)
            ),
            lambda s, r, at: s.progress.update(r, "other", branch_name="x"),
            lambda s, r, at: s.progress.update(r, "other"),
            lambda s, r, at: s.progress.finish(r, "other", RunStatus.FAILED, now=at, result_summary=None, failure=None),
            lambda s, r, at: s.queue.release(r, "other", waiting_for=None, interrupted=True),
        ],
    )
    def test_only_its_holder_writes(
        self, store: Store, claimed: Run, now: datetime, write: Callable[[Store, str, datetime], object]
    ) -> None:
        """Without the lease no verb changes anything."""
        events = kinds(store, claimed.run_id)
        with pytest.raises(LeaseLost):
            write(store, claimed.run_id, now)
        assert store.runs.get(claimed.run_id) == claimed
        assert kinds(store, claimed.run_id) == events

    def test_ends_with_the_run(self, store: Store, claimed: Run, now: datetime) -> None:
        """The lease is invalid after the run's end, and after the run was returned to the queue."""
        store.queue.release(claimed.run_id, "mine", waiting_for=None, interrupted=False)
        with pytest.raises(LeaseLost):
            store.queue.heartbeat(claimed.run_id, "mine", now=now, lease_seconds=60)
        store.queue.claim(0, "second", now=now, lease_seconds=60)
        store.progress.finish(claimed.run_id, "second", RunStatus.SUCCEEDED, now=now, result_summary=None, failure=None)
        with pytest.raises(LeaseLost):
            store.queue.heartbeat(claimed.run_id, "second", now=now, lease_seconds=60)

    def test_heartbeat(self, store: Store, claimed: Run, now: datetime) -> None:
        """A heartbeat renews the claim at its own time, and returns whether a cancel was requested."""
        later = now + timedelta(seconds=50)
        assert store.queue.heartbeat(claimed.run_id, "mine", now=later, lease_seconds=60) is False
        assert store.queue.lease_until(claimed.run_id) == later + timedelta(seconds=60)
        store.runs.request_cancel(claimed.run_id, now=later)
        assert store.queue.heartbeat(claimed.run_id, "mine", now=later, lease_seconds=60) is True


class TestRelease:
    def test_waiting(self, store: Store, claimed: Run, now: datetime) -> None:
        """A run that must wait returns to the queue, with what it waits for and until when."""
        what = WaitingFor(WaitReason.QUOTA, now + timedelta(hours=3), "primary window")
        store.queue.release(claimed.run_id, "mine", waiting_for=what, interrupted=False)
        assert get(store, claimed.run_id) == msgspec.structs.replace(
            claimed, status=RunStatus.QUEUED, lease=None, waiting_for=what
        )
        event = store.events.after(0, run_id=claimed.run_id)[-1]
        assert event.kind == "run.waiting"
        assert event.data["waiting_for"]["reason"] == "quota"

    def test_interrupted(self, store: Store, claimed: Run) -> None:
        """An interruption is counted."""
        store.queue.release(claimed.run_id, "mine", waiting_for=None, interrupted=True)
        run = get(store, claimed.run_id)
        assert (run.status, run.interruptions, run.waiting_for) == (RunStatus.QUEUED, 1, None)
        assert kinds(store, claimed.run_id)[-1] == "run.requeued"

    def test_cancelled_meanwhile(self, store: Store, claimed: Run, now: datetime) -> None:
        """A run whose cancel was requested does not return to the queue: it is cancelled."""
        store.runs.request_cancel(claimed.run_id, now=now)
        store.queue.release(claimed.run_id, "mine", waiting_for=WaitingFor(WaitReason.LOGIN), interrupted=False)
        run = get(store, claimed.run_id)
        assert (run.status, run.waiting_for, run.cancel_requested_at) == (RunStatus.CANCELLED, None, now)
        assert run.completed_at is not None
        assert kinds(store, claimed.run_id)[-1] == "run.cancelled"

    def test_wait(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """What a queued run waits for may change; each change has one event."""
        run = store.runs.insert(make_run())
        what = WaitingFor(WaitReason.DISK, now)
        store.queue.wait(run.run_id, what)
        store.queue.wait(run.run_id, what)
        assert get(store, run.run_id).waiting_for == what
        store.queue.wait(run.run_id, None)
        store.queue.wait(run.run_id, None)
        assert get(store, run.run_id) == run
        assert kinds(store, run.run_id) == ["run.queued", "run.waiting", "run.ready"]

    def test_a_damaged_time_hides_no_other(self, store: Store, make_run: MakeRun, claimed: Run, now: datetime) -> None:
        """The start reads the times of all runs: one damaged row must not prevent it."""
        soon = now + timedelta(minutes=5)
        damaged, waiting = store.runs.insert(make_run()), store.runs.insert(make_run())
        store.queue.wait(waiting.run_id, WaitingFor(WaitReason.GITHUB, soon))
        with store.database.write() as connection:
            connection.execute("UPDATE runs SET waiting_until = 'tomorrow' WHERE run_id = ?", (damaged.run_id,))
            connection.execute("UPDATE runs SET lease_until = 'later' WHERE run_id = ?", (claimed.run_id,))
        assert store.queue.retry_times(now) == [(0, soon)]
        assert store.queue.lease_until(claimed.run_id) is None

    def test_wait_is_for_the_queue(self, store: Store, claimed: Run) -> None:
        """A run that is not queued any more is not changed."""
        store.queue.wait(claimed.run_id, WaitingFor(WaitReason.DISK))
        assert store.runs.get(claimed.run_id) == claimed


class TestRecovery:
    def test_abandoned(self, store: Store, claimed: Run) -> None:
        """A run of a dead claim returns to the queue and is counted; the dead claim cannot write any more."""
        assert store.queue.requeue_abandoned(claimed.run_id, "mine") is True
        run = get(store, claimed.run_id)
        assert (run.status, run.lease, run.interruptions) == (RunStatus.QUEUED, None, 1)
        assert kinds(store, claimed.run_id)[-1] == "run.requeued"
        with pytest.raises(LeaseLost):
            store.progress.update(claimed.run_id, "mine", branch_name="late")

    def test_changed_meanwhile(self, store: Store, claimed: Run, now: datetime) -> None:
        """A run with another claim by then, or that has ended, is not changed."""
        assert store.queue.requeue_abandoned(claimed.run_id, "older") is False
        assert store.queue.requeue_abandoned(claimed.run_id, None) is False
        assert store.queue.requeue_abandoned("absent", "mine") is False
        assert store.runs.get(claimed.run_id) == claimed
        store.progress.finish(claimed.run_id, "mine", RunStatus.FAILED, now=now, result_summary=None, failure=None)
        assert store.queue.requeue_abandoned(claimed.run_id, "mine") is False

    def test_cancelled_meanwhile(self, store: Store, claimed: Run, now: datetime) -> None:
        """A dead claim's run whose cancel was requested is cancelled."""
        store.runs.request_cancel(claimed.run_id, now=now)
        assert store.queue.requeue_abandoned(claimed.run_id, "mine") is True
        assert get(store, claimed.run_id).status is RunStatus.CANCELLED

    def test_a_phase_that_a_dead_process_executed_is_not_running(
        self, store: Store, claimed: Run, now: datetime
    ) -> None:
        """It will be repeated, and its start has an end in the events; the attempt still counts."""
        phase = Phase(phase=PhaseName.GIT_CLONE, status=PhaseStatus.RUNNING, attempt=2, started_at=now)
        store.progress.save_phase(claimed.run_id, "mine", phase)
        store.queue.requeue_abandoned(claimed.run_id, "mine")
        kept = get(store, claimed.run_id).phase(PhaseName.GIT_CLONE)
        assert kept == msgspec.structs.replace(phase, status=PhaseStatus.RETRYING)
        event = store.events.after(0, run_id=claimed.run_id)[-2]
        about = {"phase": "git_clone", "status": "retrying", "attempt": 2, "reason": "interrupted"}
        assert (event.kind, event.data) == ("phase.retrying", about)

    def test_a_phase_that_a_dead_process_executed_fails_with_a_cancel(
        self, store: Store, claimed: Run, now: datetime
    ) -> None:
        """A final run has no running phase."""
        phase = Phase(phase=PhaseName.GIT_CLONE, status=PhaseStatus.RUNNING, attempt=1, started_at=now)
        store.progress.save_phase(claimed.run_id, "mine", phase)
        store.runs.request_cancel(claimed.run_id, now=now)
        store.queue.requeue_abandoned(claimed.run_id, "mine")
        kept = get(store, claimed.run_id).phase(PhaseName.GIT_CLONE)
        assert (kept.status, kept.metadata) == (PhaseStatus.FAILED, {"error": "cancelled"})
        assert kept.completed_at is not None
        assert kinds(store, claimed.run_id)[-2:] == ["phase.failed", "run.cancelled"]

    def test_open_runs(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """Recovery gets all open runs, oldest first, and no ended ones."""
        runs = [store.runs.insert(make_run()) for _ in range(5)]
        for lease in ("A", "B"):
            store.queue.claim(0, lease, now=now, lease_seconds=60)
        store.runs.request_cancel(runs[3].run_id, now=now)
        assert [run.run_id for run in store.run_lists.in_progress()] == [runs[0].run_id, runs[1].run_id]
        assert [run.run_id for run in store.run_lists.queued()] == [runs[2].run_id, runs[4].run_id]


def test_status_and_lease_go_together(store: Store, claimed: Run) -> None:
    """Even SQL by hand cannot leave a run in progress without a lease, or a lease on a run that is not."""
    for change in ("lease = NULL", "status = 'queued'", "status = 'married'"):
        with pytest.raises(StoreError), store.database.write() as connection:
            connection.execute(f"UPDATE runs SET {change}")  # noqa: S608 - the test's own SQL
    assert store.runs.get(claimed.run_id) == claimed
