"""Runs: an accepted run stays, an idempotency key makes one run, and only runs that have ended are retried."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import pytest

from moonmind_appliance.errors import Conflict, NotFound, StoreError
from moonmind_appliance.models import (
    PHASE_ORDER,
    Actor,
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
from tests.store.stored import FINAL, bring, kinds

MakeRun = Callable[..., Run]


class TestInsert:
    def test_round_trip(self, store: Store, make_run: MakeRun) -> None:
        """An accepted run is read unchanged, with its nine pending phases in order, and its events."""
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
        assert [(event.kind, event.run_id, event.at) for event in store.events.after(0)] == [
            ("run.queued", run.run_id, run.accepted_at),
            ("run.waiting", run.run_id, run.accepted_at),
        ]

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
        assert len(store.run_lists.queued()) == 2

    def test_same_key_other_body(self, store: Store, make_run: MakeRun) -> None:
        """The same key with another body is a conflict and creates nothing."""
        store.runs.insert(make_run(), idempotency=("ann:key", "digest"))
        with pytest.raises(Conflict) as refusal:
            store.runs.insert(make_run(), idempotency=("ann:key", "other"))
        assert refusal.value.code == "idempotency_key_reused"
        assert len(store.run_lists.queued()) == 1

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
        assert len(store.run_lists.queued()) == 1


class TestCounts:
    def test_counts(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """Every status is counted, also where there is none."""
        for _ in range(3):
            store.runs.insert(make_run())
        store.queue.claim(0, "L", now=now, lease_seconds=60)
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
        claimed = store.queue.claim(0, "mine", now=now, lease_seconds=9)
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
            assert [run.run_id for run in store.run_lists.queued()] == [one.run_id, three.run_id]
        assert two.run_id in caplog.text

    def test_does_not_block_the_queue(self, store: Store, spoil: tuple[Run, Run, Run], now: datetime) -> None:
        """A claim marks it as failed with an event, and takes the next run."""
        one, two, three = spoil
        claims = [store.queue.claim(0, f"L{i}", now=now, lease_seconds=60) for i in range(3)]
        assert [run and run.run_id for run in claims] == [one.run_id, three.run_id, None]
        assert store.runs.counts()[RunStatus.FAILED] == 1
        assert kinds(store, two.run_id) == ["run.queued", "run.claimed", "run.failed"]

    @pytest.mark.parametrize(
        ("column", "text"),
        [
            *[("metadata", text) for text in ("{", "[]", "7")],
            *[("output", text) for text in ("{", "[]", "7", '{"usage": 7}', '{"feature": {"title": "no directory"}}')],
        ],
    )
    def test_spoilt_phase(self, store: Store, make_run: MakeRun, now: datetime, column: str, text: str) -> None:
        """A phase that cannot be read is an error of that run only: a claim takes the next one."""
        run, other = store.runs.insert(make_run()), store.runs.insert(make_run())
        with store.database.write() as connection:
            connection.execute(
                f"UPDATE phases SET {column} = ? WHERE run_id = ? AND phase = 'speckit_specify'",  # noqa: S608
                (text, run.run_id),
            )
        with pytest.raises(StoreError, match=run.run_id):
            store.runs.get(run.run_id)
        claimed = store.queue.claim(0, "lease", now=now, lease_seconds=60)
        assert claimed is not None
        assert claimed.run_id == other.run_id


class TestCancel:
    def test_queued(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """A queued run is cancelled at once."""
        run = store.runs.insert(make_run(waiting_for=WaitingFor(WaitReason.LOGIN)))
        answer = store.runs.request_cancel(run.run_id, now=now)
        assert answer == store.runs.get(run.run_id)
        assert answer == msgspec.structs.replace(
            run,
            status=RunStatus.CANCELLED,
            completed_at=now,
            cancel_requested_at=now,
            result_summary="The run was cancelled.",
            waiting_for=None,
        )
        assert kinds(store, run.run_id) == ["run.queued", "run.waiting", "run.cancelled"]
        assert store.queue.claim(0, "L", now=now, lease_seconds=60) is None

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
        store.progress.save_phase(claimed.run_id, "mine", phase)
        store.progress.update(claimed.run_id, "mine", branch_name="b")
        store.runs.request_cancel(claimed.run_id, now=now)
        why = failure(FailureCode.CLONE_FAILED, "no")
        store.progress.finish(claimed.run_id, "mine", status, now=now, result_summary="no", failure=why)
        answer = store.runs.retry(claimed.run_id, now=now)
        assert answer == store.runs.get(claimed.run_id)
        assert answer == msgspec.structs.replace(
            claimed, status=RunStatus.QUEUED, lease=None, branch_name="b", phases=[phase, *claimed.phases[1:]]
        )
        event = store.events.after(0, run_id=claimed.run_id)[-1]
        assert (event.kind, event.data) == ("run.retried", {"status": "queued", "was": status.value})
        assert store.queue.claim(0, "L", now=now, lease_seconds=60) is not None

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


def test_times_need_a_zone(store: Store, make_run: MakeRun, now: datetime) -> None:
    """A time without a zone is refused before anything is written."""
    with pytest.raises(ValueError, match="time zone"):
        store.runs.insert(make_run(accepted_at=now.replace(tzinfo=None)))
    assert store.run_lists.queued() == []


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


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM phases WHERE run_id = 'a' ORDER BY position",
        "SELECT status FROM phases WHERE run_id = 'a' AND position = 3",
        "UPDATE phases SET status = 'running' WHERE run_id = 'a' AND position = 3",
        "UPDATE phases SET status = 'failed' WHERE run_id = 'a' AND status = 'running' RETURNING phase",
        "DELETE FROM phases WHERE run_id = 'a'",
    ],
)
def test_a_runs_phases_are_found_by_an_index(store: Store, query: str) -> None:
    """Each statement reads one run's rows only, in order."""
    with store.database.read() as connection:
        steps = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert [step.replace(" COVERING", "").partition(" (")[0] for step in steps] == [
        "SEARCH phases USING INDEX sqlite_autoindex_phases_1"
    ]


def test_the_phases_of_a_page_are_found_by_an_index(store: Store) -> None:
    """As those of one run."""
    query = "SELECT run_id, position, status FROM phases WHERE run_id IN (SELECT value FROM json_each('[]'))"
    with store.database.read() as connection:
        steps = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert "SEARCH phases USING INDEX sqlite_autoindex_phases_1 (run_id=?)" in steps
