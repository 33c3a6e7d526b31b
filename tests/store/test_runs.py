"""Runs: accepted runs stay, one claim owns a run, and only allowed transitions are made."""

import logging
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import pytest

from moonmind_appliance.errors import Conflict, LeaseLost, NotFound, StoreError
from moonmind_appliance.models import (
    PHASE_MOVES,
    PHASE_ORDER,
    Actor,
    AgentInfo,
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

MakeRun = Callable[..., Run]

FINAL = [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.NO_CHANGES, RunStatus.CANCELLED]

_CLAIM_ALL = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from moonmind_appliance.store import Store

store = Store.open(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for i in range(1000):
    run = store.runs.claim(0, f"{sys.argv[2]}-{i}", now=datetime.now(UTC), lease_seconds=60)
    if run is None:
        break
    print(run.run_id, flush=True)
"""


@pytest.fixture
def claimed(store: Store, make_run: MakeRun, now: datetime) -> Run:
    """A run in progress under the lease "mine"."""
    store.runs.insert(make_run())
    run = store.runs.claim(1, "mine", now=now, lease_seconds=60)
    assert run is not None
    return run


def get(store: Store, run_id: str) -> Run:
    run = store.runs.get(run_id)
    assert run is not None
    return run


def kinds(store: Store, run_id: str) -> list[str]:
    return [event.kind for event in store.events.after(0, run_id=run_id)]


def bring(store: Store, run: Run, status: RunStatus, now: datetime) -> Run:
    """Change a queued run to that status."""
    if status is not RunStatus.QUEUED:
        assert store.runs.claim(0, "L", now=now, lease_seconds=60) is not None
    if status in FINAL:
        store.runs.finish(run.run_id, "L", status, now=now, result_summary=None, failure=None)
    return get(store, run.run_id)


class TestInsert:
    def test_round_trip(self, store: Store, make_run: MakeRun) -> None:
        """An accepted run is read unchanged, with its nine pending phases in order, and an event."""
        run = make_run(
            base_branch="develop",
            dry_run=True,
            external_ref="TICKET-1",
            shard_pin=2,
            specify_text="Zeile eins\nline two \N{SNOWMAN}\0 end",
            created_by=Actor("8d1f", "ann", operator=True),
            waiting_for=WaitingFor(WaitReason.LOGIN, None, "no shard is signed in"),
            clarifications=["Which colour?"],
        )
        kept = store.runs.insert(run)
        assert kept == msgspec.structs.replace(run, phases=[Phase(phase=name) for name in PHASE_ORDER])
        assert store.runs.get(run.run_id) == kept
        (event,) = store.events.after(0)
        assert (event.kind, event.run_id, event.at) == ("run.queued", run.run_id, run.accepted_at)

    def test_unknown(self, store: Store) -> None:
        """A run that is not there is None."""
        assert store.runs.get("absent") is None

    def test_same_id(self, store: Store, make_run: MakeRun) -> None:
        """An id is used once; the second insert changes nothing."""
        run = store.runs.insert(make_run())
        with pytest.raises(StoreError):
            store.runs.insert(make_run(run_id=run.run_id))
        assert store.runs.get(run.run_id) == run
        assert kinds(store, run.run_id) == ["run.queued"]

    @pytest.mark.parametrize("status", [status for status in RunStatus if status is not RunStatus.QUEUED])
    def test_begins_queued(self, store: Store, make_run: MakeRun, status: RunStatus) -> None:
        """A run begins in the queue."""
        with pytest.raises(StoreError):
            store.runs.insert(make_run(status=status))

    def test_same_key_and_body(self, store: Store, make_run: MakeRun) -> None:
        """The same idempotency key and body return the first run in its current state, and create no other."""
        first = store.runs.insert(make_run(), idempotency=("ann:key", "digest"))
        again = store.runs.insert(make_run(), idempotency=("ann:key", "digest"))
        other = store.runs.insert(make_run(), idempotency=("bob:key", "digest"))
        assert again == first != other
        assert len(store.runs.queued()) == 2

    def test_same_key_other_body(self, store: Store, make_run: MakeRun) -> None:
        """The same key with another body is a conflict and creates nothing."""
        store.runs.insert(make_run(), idempotency=("ann:key", "digest"))
        with pytest.raises(Conflict) as refusal:
            store.runs.insert(make_run(), idempotency=("ann:key", "other"))
        assert refusal.value.code == "idempotency_key_reused"
        assert len(store.runs.queued()) == 1

    def test_same_key_at_once(self, store: Store, make_run: MakeRun) -> None:
        """Many simultaneous requests with one key create one run."""
        answers = []
        runs = [make_run() for _ in range(8)]

        def submit(run: Run) -> None:
            answers.append(store.runs.insert(run, idempotency=("ann:key", "digest")).run_id)

        threads = [threading.Thread(target=submit, args=(run,)) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 8
        assert len(set(answers)) == 1
        assert len(store.runs.queued()) == 1


class TestCounts:
    def test_counts(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """Every status is counted, also where there is none."""
        for _ in range(3):
            store.runs.insert(make_run())
        store.runs.claim(0, "L", now=now, lease_seconds=60)
        expected = dict.fromkeys(RunStatus, 0) | {RunStatus.QUEUED: 2, RunStatus.IN_PROGRESS: 1}
        assert store.runs.counts() == expected


class TestSpecification:
    def test_apart(self, store: Store, make_run: MakeRun) -> None:
        """The text can be read alone, and a run without it."""
        run = store.runs.insert(make_run(specify_text="Add a basket.\r\n"))
        assert store.runs.specification(run.run_id) == "Add a basket.\r\n"
        assert store.runs.get(run.run_id, text=False) == msgspec.structs.replace(run, specify_text="")

    def test_missing(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """A run whose text was deleted by hand is refused by name, and a claim fails it and takes the next."""
        lost, good = (store.runs.insert(make_run()) for _ in range(2))
        with store.database.write() as connection:
            connection.execute("DELETE FROM specifications WHERE run_id = ?", (lost.run_id,))
        for read in (store.runs.get, store.runs.specification):
            with pytest.raises(StoreError, match=f"{lost.run_id}.*text is missing"):
                read(lost.run_id)
        claimed = store.runs.claim(0, "mine", now=now, lease_seconds=9)
        assert claimed is not None
        assert claimed.run_id == good.run_id
        assert store.runs.counts()[RunStatus.FAILED] == 1


class TestUnreadableRow:
    @pytest.fixture
    def spoil(self, store: Store, make_run: MakeRun) -> tuple[Run, Run, Run]:
        """Three queued runs; the middle one was corrupted by hand."""
        one, two, three = (store.runs.insert(make_run()) for _ in range(3))
        with store.database.write() as connection:
            connection.execute("UPDATE runs SET created_by = '{nonsense' WHERE run_id = ?", (two.run_id,))
        return one, two, three

    def test_itself(self, store: Store, spoil: tuple[Run, Run, Run]) -> None:
        """Reading the run alone raises an error that names it and says what to do."""
        with pytest.raises(StoreError, match=spoil[1].run_id) as refusal:
            store.runs.get(spoil[1].run_id)
        assert "backups" in refusal.value.hint

    def test_hides_no_other(self, store: Store, spoil: tuple[Run, Run, Run], caplog: pytest.LogCaptureFixture) -> None:
        """Lists contain all others, and the log names it."""
        one, two, three = spoil
        with caplog.at_level(logging.ERROR):
            assert [run.run_id for run in store.runs.queued()] == [one.run_id, three.run_id]
        assert two.run_id in caplog.text

    def test_holds_nobody_up(self, store: Store, spoil: tuple[Run, Run, Run], now: datetime) -> None:
        """A claim marks it as failed with an event, and takes the next run."""
        one, two, three = spoil
        claims = [store.runs.claim(0, f"L{i}", now=now, lease_seconds=60) for i in range(3)]
        assert [run and run.run_id for run in claims] == [one.run_id, three.run_id, None]
        assert store.runs.counts()[RunStatus.FAILED] == 1
        assert kinds(store, two.run_id) == ["run.queued", "run.failed"]

    @pytest.mark.parametrize("metadata", ["{", "[]", "7"])
    def test_spoilt_phase(self, store: Store, make_run: MakeRun, metadata: str) -> None:
        """A phase that cannot be read is the run's error."""
        run = store.runs.insert(make_run())
        with store.database.write() as connection:
            connection.execute("UPDATE phases SET metadata = ? WHERE position = 3", (metadata,))
        with pytest.raises(StoreError, match=run.run_id):
            store.runs.get(run.run_id)


class TestClaim:
    def test_takes(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """A claim sets the run in progress on that shard, with that lease and an event."""
        run = store.runs.insert(make_run(waiting_for=WaitingFor(WaitReason.LOGIN)))
        taken = store.runs.claim(2, "lease", now=now, lease_seconds=60)
        assert taken == msgspec.structs.replace(
            run,
            status=RunStatus.IN_PROGRESS,
            shard=2,
            lease="lease",
            started_at=now,
            waiting_for=None,
        )
        assert store.runs.get(run.run_id) == taken
        assert store.runs.lease_until(run.run_id) == now + timedelta(seconds=60)
        event = store.events.after(0, run_id=run.run_id)[-1]
        assert (event.kind, event.shard, event.at) == ("run.claimed", 2, now)

    def test_nothing_to_take(self, store: Store, now: datetime) -> None:
        """An empty queue gives None."""
        assert store.runs.claim(0, "L", now=now, lease_seconds=60) is None

    def test_oldest_first(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """The oldest accepted run of a user comes first, for any order of inserts."""
        newer, older = make_run(), make_run()
        newer, older = (
            msgspec.structs.replace(newer, accepted_at=older.accepted_at),
            msgspec.structs.replace(older, accepted_at=newer.accepted_at),
        )
        for run in (newer, older):
            store.runs.insert(run)
        first = store.runs.claim(0, "L", now=now, lease_seconds=60)
        assert first is not None
        assert first.run_id == older.run_id

    def test_fairness(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """The user with the fewest runs in progress comes first: a long queue of one does not starve others."""
        for user in ("ann", "ann", "ann", "ann", "bob", "eve"):
            store.runs.insert(make_run(user))
        order = []
        for i in range(4):
            run = store.runs.claim(i, f"L{i}", now=now, lease_seconds=60)
            assert run is not None
            order.append(run.created_by.subject)
        assert order == ["ann", "bob", "eve", "ann"]
        bobs = next(run for run in store.runs.in_progress() if run.created_by.subject == "bob")
        store.runs.insert(make_run("bob"))
        assert bobs.lease is not None
        store.runs.finish(bobs.run_id, bobs.lease, RunStatus.SUCCEEDED, now=now, result_summary=None, failure=None)
        last = store.runs.claim(1, "L5", now=now, lease_seconds=60)
        assert last is not None
        assert last.created_by.subject == "bob"

    def test_pinned(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """Only its shard takes a pinned run, and it does not block other runs."""
        pinned = store.runs.insert(make_run(shard_pin=1))
        free = store.runs.insert(make_run())
        takes = [store.runs.claim(shard, f"L{i}", now=now, lease_seconds=60) for i, shard in enumerate((0, 0, 1))]
        assert [run and run.run_id for run in takes] == [free.run_id, None, pinned.run_id]

    def test_waits_until(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """A run that waits for a time is not taken before it, and is taken at it."""
        until = now + timedelta(minutes=5)
        run = store.runs.insert(make_run(waiting_for=WaitingFor(WaitReason.QUOTA, until)))
        early = store.runs.claim(0, "L", now=until - timedelta(microseconds=1), lease_seconds=60)
        assert early is None
        taken = store.runs.claim(0, "L", now=until, lease_seconds=60)
        assert taken is not None
        assert taken.run_id == run.run_id

    def test_where_it_began(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """A started run continues only on the shards of its engine; one that has not started can run anywhere."""
        begun = store.runs.insert(make_run())
        store.runs.claim(0, "L", now=now, lease_seconds=60)
        store.runs.release(begun.run_id, "L", waiting_for=None, interrupted=False)
        fresh = store.runs.insert(make_run())
        takes = [
            store.runs.claim(2, "L2", now=now, lease_seconds=60, began_on={2, 3}),
            store.runs.claim(2, "L3", now=now, lease_seconds=60, began_on={2, 3}),
            store.runs.claim(1, "L4", now=now, lease_seconds=60, began_on={0, 1}),
        ]
        assert [run and run.run_id for run in takes] == [fresh.run_id, None, begun.run_id]

    def test_first_start_stays(self, store: Store, claimed: Run, now: datetime) -> None:
        """A second claim keeps the time of the first start."""
        store.runs.release(claimed.run_id, "mine", waiting_for=None, interrupted=False)
        again = store.runs.claim(0, "other", now=now + timedelta(hours=1), lease_seconds=60)
        assert again is not None
        assert (again.started_at, again.shard) == (now, 0)

    def test_threads(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """Many threads that claim at once take each run exactly once."""
        runs = [store.runs.insert(make_run(f"user{i % 3}")).run_id for i in range(60)]
        taken: list[str] = []
        begin = threading.Barrier(8)

        def work(number: int) -> None:
            begin.wait()
            while run := store.runs.claim(number, f"{number}-{len(taken)}", now=now, lease_seconds=60):
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
            lambda s, r, at: s.runs.heartbeat(r, "other", now=at, lease_seconds=60),
            lambda s, r, at: s.runs.save_phase(
                r, "other", Phase(phase=PhaseName.GIT_CLONE, status=PhaseStatus.RUNNING)
            ),
            lambda s, r, at: s.runs.note(r, "other", branch_name="x"),
            lambda s, r, at: s.runs.note(r, "other"),
            lambda s, r, at: s.runs.finish(r, "other", RunStatus.FAILED, now=at, result_summary=None, failure=None),
            lambda s, r, at: s.runs.release(r, "other", waiting_for=None, interrupted=True),
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
        store.runs.release(claimed.run_id, "mine", waiting_for=None, interrupted=False)
        with pytest.raises(LeaseLost):
            store.runs.heartbeat(claimed.run_id, "mine", now=now, lease_seconds=60)
        store.runs.claim(0, "second", now=now, lease_seconds=60)
        store.runs.finish(claimed.run_id, "second", RunStatus.SUCCEEDED, now=now, result_summary=None, failure=None)
        with pytest.raises(LeaseLost):
            store.runs.heartbeat(claimed.run_id, "second", now=now, lease_seconds=60)

    def test_heartbeat(self, store: Store, claimed: Run, now: datetime) -> None:
        """A heartbeat renews the claim at its own time, and returns whether a cancel was requested."""
        later = now + timedelta(seconds=50)
        assert store.runs.heartbeat(claimed.run_id, "mine", now=later, lease_seconds=60) is False
        assert store.runs.lease_until(claimed.run_id) == later + timedelta(seconds=60)
        store.runs.request_cancel(claimed.run_id, now=later)
        assert store.runs.heartbeat(claimed.run_id, "mine", now=later, lease_seconds=60) is True


class TestPhases:
    def test_round_trip(self, store: Store, claimed: Run, now: datetime) -> None:
        """A saved phase is read unchanged, in its place, with its event."""
        running = Phase(phase=PhaseName.GIT_CLONE, status=PhaseStatus.RUNNING, attempt=1, started_at=now)
        done = msgspec.structs.replace(
            running,
            status=PhaseStatus.SUCCEEDED,
            completed_at=now + timedelta(seconds=1),
            stdout_path="a/b",
            stderr_path="a/c",
            metadata={"commit": "abc", "n": 1, "deep": {"list": [None, True]}},
        )
        store.runs.save_phase(claimed.run_id, "mine", running)
        store.runs.save_phase(claimed.run_id, "mine", done)
        expected = [done if phase.phase == done.phase else phase for phase in claimed.phases]
        assert get(store, claimed.run_id).phases == expected
        events = store.events.after(0, run_id=claimed.run_id)[-2:]
        assert [(event.kind, event.shard, event.data) for event in events] == [
            ("phase.running", 1, {"phase": "git_clone", "status": "running", "attempt": 1}),
            ("phase.succeeded", 1, {"phase": "git_clone", "status": "succeeded", "attempt": 1}),
        ]

    @pytest.mark.parametrize("current", PhaseStatus)
    @pytest.mark.parametrize("target", PhaseStatus)
    def test_moves(self, store: Store, claimed: Run, current: PhaseStatus, target: PhaseStatus) -> None:
        """The store makes only the transitions that the model allows; the same status again is none."""
        with store.database.write() as connection:
            connection.execute("UPDATE phases SET status = ? WHERE position = 0", (current.value,))
        phase = Phase(phase=PhaseName.PREPARE_JOB, status=target, attempt=7)
        if current is target or target in PHASE_MOVES[current]:
            store.runs.save_phase(claimed.run_id, "mine", phase)
            assert get(store, claimed.run_id).phases[0] == phase
            told = [] if current is target else [f"phase.{target.value}"]
            assert kinds(store, claimed.run_id)[2:] == told
        else:
            with pytest.raises(StoreError, match=f"from {current.value} to {target.value}"):
                store.runs.save_phase(claimed.run_id, "mine", phase)
            assert get(store, claimed.run_id).phases[0].status is current
            assert kinds(store, claimed.run_id)[2:] == []


class TestNote:
    def test_only_what_is_given(self, store: Store, claimed: Run) -> None:
        """Given fields are stored, others stay, and None is a value."""
        agent = AgentInfo("codex", "0.1", "1")
        store.runs.note(
            claimed.run_id, "mine", branch_name="b", clarifications=["Which?"], agent=agent, result_summary="s"
        )
        store.runs.note(claimed.run_id, "mine", pull_request_url="https://host/pull/1", result_summary=None)
        store.runs.note(claimed.run_id, "mine")
        assert get(store, claimed.run_id) == msgspec.structs.replace(
            claimed,
            branch_name="b",
            pull_request_url="https://host/pull/1",
            clarifications=["Which?"],
            agent=agent,
        )
        noted = [event.data for event in store.events.after(0, run_id=claimed.run_id) if event.kind == "run.noted"]
        assert noted == [
            {"fields": ["agent", "branch_name", "clarifications", "result_summary"]},
            {"fields": ["pull_request_url", "result_summary"]},
        ]


class TestEnd:
    @pytest.mark.parametrize("status", FINAL)
    def test_finish(self, store: Store, claimed: Run, now: datetime, status: RunStatus) -> None:
        """A run ends with its summary, its failure and its time, and has no claim any more."""
        why = failure(FailureCode.CLONE_FAILED, "no", retry_at=now)
        store.runs.finish(claimed.run_id, "mine", status, now=now, result_summary="done", failure=why)
        assert get(store, claimed.run_id) == msgspec.structs.replace(
            claimed, status=status, lease=None, completed_at=now, result_summary="done", failure=why
        )
        event = store.events.after(0, run_id=claimed.run_id)[-1]
        assert event.kind == f"run.{status.value}"
        assert event.data == {"status": status.value, "failure": "clone_failed"}

    @pytest.mark.parametrize("status", [RunStatus.QUEUED, RunStatus.IN_PROGRESS])
    def test_not_an_end(self, store: Store, claimed: Run, now: datetime, status: RunStatus) -> None:
        """A run cannot end in a status that is not final."""
        with pytest.raises(StoreError):
            store.runs.finish(claimed.run_id, "mine", status, now=now, result_summary=None, failure=None)
        assert store.runs.get(claimed.run_id) == claimed


class TestRelease:
    def test_waiting(self, store: Store, claimed: Run, now: datetime) -> None:
        """A run that must wait returns to the queue, with what it waits for and until when."""
        what = WaitingFor(WaitReason.QUOTA, now + timedelta(hours=3), "primary window")
        store.runs.release(claimed.run_id, "mine", waiting_for=what, interrupted=False)
        assert get(store, claimed.run_id) == msgspec.structs.replace(
            claimed, status=RunStatus.QUEUED, lease=None, waiting_for=what
        )
        event = store.events.after(0, run_id=claimed.run_id)[-1]
        assert event.kind == "run.waiting"
        assert event.data["waiting_for"]["reason"] == "quota"

    def test_interrupted(self, store: Store, claimed: Run) -> None:
        """An interruption is counted."""
        store.runs.release(claimed.run_id, "mine", waiting_for=None, interrupted=True)
        run = get(store, claimed.run_id)
        assert (run.status, run.interruptions, run.waiting_for) == (RunStatus.QUEUED, 1, None)
        assert kinds(store, claimed.run_id)[-1] == "run.requeued"

    def test_cancelled_meanwhile(self, store: Store, claimed: Run, now: datetime) -> None:
        """A run whose cancel was requested does not return to the queue: it is cancelled."""
        store.runs.request_cancel(claimed.run_id, now=now)
        store.runs.release(claimed.run_id, "mine", waiting_for=WaitingFor(WaitReason.LOGIN), interrupted=False)
        run = get(store, claimed.run_id)
        assert (run.status, run.waiting_for, run.cancel_requested_at) == (RunStatus.CANCELLED, None, now)
        assert run.completed_at is not None
        assert kinds(store, claimed.run_id)[-1] == "run.cancelled"

    def test_wait(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """What a queued run waits for may change; each change has one event."""
        run = store.runs.insert(make_run())
        what = WaitingFor(WaitReason.DISK, now)
        store.runs.wait(run.run_id, what)
        store.runs.wait(run.run_id, what)
        assert get(store, run.run_id).waiting_for == what
        store.runs.wait(run.run_id, None)
        store.runs.wait(run.run_id, None)
        assert get(store, run.run_id) == run
        assert kinds(store, run.run_id) == ["run.queued", "run.waiting", "run.ready"]

    def test_wait_is_for_the_queue(self, store: Store, claimed: Run) -> None:
        """A run that is not queued any more is not changed."""
        store.runs.wait(claimed.run_id, WaitingFor(WaitReason.DISK))
        assert store.runs.get(claimed.run_id) == claimed


class TestCancel:
    def test_queued(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """A queued run is cancelled at once."""
        run = store.runs.insert(make_run(waiting_for=WaitingFor(WaitReason.LOGIN)))
        answer = store.runs.request_cancel(run.run_id, now=now)
        assert answer == store.runs.get(run.run_id)
        assert answer == msgspec.structs.replace(
            run, status=RunStatus.CANCELLED, completed_at=now, cancel_requested_at=now, waiting_for=None
        )
        assert kinds(store, run.run_id) == ["run.queued", "run.cancelled"]
        assert store.runs.claim(0, "L", now=now, lease_seconds=60) is None

    def test_in_progress(self, store: Store, claimed: Run, now: datetime) -> None:
        """A run in progress is asked to end; a second request keeps the first time and adds no event."""
        store.runs.request_cancel(claimed.run_id, now=now)
        answer = store.runs.request_cancel(claimed.run_id, now=now + timedelta(seconds=9))
        assert answer == msgspec.structs.replace(claimed, cancel_requested_at=now)
        assert kinds(store, claimed.run_id)[-2:] == ["run.claimed", "run.cancel_requested"]

    @pytest.mark.parametrize("status", FINAL)
    def test_final(self, store: Store, make_run: MakeRun, now: datetime, status: RunStatus) -> None:
        """A run that has ended cannot be cancelled."""
        run = bring(store, store.runs.insert(make_run()), status, now)
        with pytest.raises(Conflict, match=status.value):
            store.runs.request_cancel(run.run_id, now=now)
        assert store.runs.get(run.run_id) == run

    def test_unknown(self, store: Store, now: datetime) -> None:
        """A run that is not there is not found."""
        with pytest.raises(NotFound):
            store.runs.request_cancel("absent", now=now)


class TestRetry:
    @pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
    def test_again(self, store: Store, claimed: Run, now: datetime, status: RunStatus) -> None:
        """A failed or cancelled run is queued again, without its failure, with its phases, and can be claimed."""
        phase = Phase(phase=PhaseName.PREPARE_JOB, status=PhaseStatus.RUNNING, attempt=1, started_at=now)
        store.runs.save_phase(claimed.run_id, "mine", phase)
        store.runs.note(claimed.run_id, "mine", branch_name="b")
        store.runs.request_cancel(claimed.run_id, now=now)
        why = failure(FailureCode.CLONE_FAILED, "no")
        store.runs.finish(claimed.run_id, "mine", status, now=now, result_summary="no", failure=why)
        answer = store.runs.retry(claimed.run_id, now=now)
        assert answer == store.runs.get(claimed.run_id)
        assert answer == msgspec.structs.replace(
            claimed, status=RunStatus.QUEUED, lease=None, branch_name="b", phases=[phase, *claimed.phases[1:]]
        )
        event = store.events.after(0, run_id=claimed.run_id)[-1]
        assert (event.kind, event.data) == ("run.retried", {"status": "queued", "was": status.value})
        assert store.runs.claim(0, "L", now=now, lease_seconds=60) is not None

    @pytest.mark.parametrize("status", [s for s in RunStatus if s not in {RunStatus.FAILED, RunStatus.CANCELLED}])
    def test_others(self, store: Store, make_run: MakeRun, now: datetime, status: RunStatus) -> None:
        """No other run can be retried."""
        run = bring(store, store.runs.insert(make_run()), status, now)
        with pytest.raises(Conflict, match=status.value):
            store.runs.retry(run.run_id, now=now)
        assert store.runs.get(run.run_id) == run

    def test_unknown(self, store: Store, now: datetime) -> None:
        """A run that is not there is not found."""
        with pytest.raises(NotFound):
            store.runs.retry("absent", now=now)


class TestRecovery:
    def test_abandoned(self, store: Store, claimed: Run) -> None:
        """A run of a dead claim returns to the queue and is counted; the dead claim cannot write any more."""
        assert store.runs.requeue_abandoned(claimed.run_id, "mine") is True
        run = get(store, claimed.run_id)
        assert (run.status, run.lease, run.interruptions) == (RunStatus.QUEUED, None, 1)
        assert kinds(store, claimed.run_id)[-1] == "run.requeued"
        with pytest.raises(LeaseLost):
            store.runs.note(claimed.run_id, "mine", branch_name="late")

    def test_changed_meanwhile(self, store: Store, claimed: Run, now: datetime) -> None:
        """A run with another claim by then, or that has ended, is not changed."""
        assert store.runs.requeue_abandoned(claimed.run_id, "older") is False
        assert store.runs.requeue_abandoned(claimed.run_id, None) is False
        assert store.runs.requeue_abandoned("absent", "mine") is False
        assert store.runs.get(claimed.run_id) == claimed
        store.runs.finish(claimed.run_id, "mine", RunStatus.FAILED, now=now, result_summary=None, failure=None)
        assert store.runs.requeue_abandoned(claimed.run_id, "mine") is False

    def test_cancelled_meanwhile(self, store: Store, claimed: Run, now: datetime) -> None:
        """A dead claim's run whose cancel was requested is cancelled."""
        store.runs.request_cancel(claimed.run_id, now=now)
        assert store.runs.requeue_abandoned(claimed.run_id, "mine") is True
        assert get(store, claimed.run_id).status is RunStatus.CANCELLED

    def test_open_runs(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """Recovery gets all open runs, oldest first, and no ended ones."""
        runs = [store.runs.insert(make_run()) for _ in range(5)]
        for lease in ("A", "B"):
            store.runs.claim(0, lease, now=now, lease_seconds=60)
        store.runs.request_cancel(runs[3].run_id, now=now)
        assert [run.run_id for run in store.runs.in_progress()] == [runs[0].run_id, runs[1].run_id]
        assert [run.run_id for run in store.runs.queued()] == [runs[2].run_id, runs[4].run_id]


def test_status_and_lease_go_together(store: Store, claimed: Run) -> None:
    """Even SQL by hand cannot leave a run in progress without a lease, or a lease on a run that is not."""
    for change in ("lease = NULL", "status = 'queued'", "status = 'married'"):
        with pytest.raises(StoreError), store.database.write() as connection:
            connection.execute(f"UPDATE runs SET {change}")  # noqa: S608 - the test's own SQL
    assert store.runs.get(claimed.run_id) == claimed


def test_times_need_a_zone(store: Store, make_run: MakeRun, now: datetime) -> None:
    """A time without a zone is refused before anything is written."""
    with pytest.raises(ValueError, match="time zone"):
        store.runs.insert(make_run(accepted_at=now.replace(tzinfo=None)))
    assert store.runs.queued() == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM runs WHERE subject = 'a' ORDER BY accepted_at DESC, run_id DESC",
        "SELECT * FROM runs ORDER BY accepted_at DESC, run_id DESC",
        "SELECT * FROM runs WHERE status = 'queued' ORDER BY accepted_at, run_id",
        "SELECT status, count(*) FROM runs GROUP BY status",
        "SELECT * FROM events WHERE run_id = 'a' AND event_id > 1 ORDER BY event_id LIMIT 1",
    ],
)
def test_indexes(store: Store, query: str) -> None:
    """Frequent queries neither scan a whole table nor sort it."""
    with store.database.read() as connection:
        steps = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert all(" INDEX " in step for step in steps), steps
