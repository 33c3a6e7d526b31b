"""Limits on submissions and on the queue, whose cost does not grow with the number of runs."""

import uuid
from datetime import datetime, timedelta

import pytest

from moonmind_appliance.errors import TooMany
from moonmind_appliance.models import Actor, Run, RunStatus
from moonmind_appliance.store import Store
from moonmind_appliance.store.admission import Admission, SubmissionLimits
from tests.fakes import ANN, BOB, NOW
from tests.store_cost import counted

NONE = SubmissionLimits(0, 0, 0)


def submit(
    store: Store,
    limits: SubmissionLimits,
    *,
    actor: Actor = ANN,
    at: datetime = NOW,
    key: tuple[str, str] | None = None,
) -> Run:
    run = Run(run_id=str(uuid.uuid4()), repository="acme/shop", specify_text="x", accepted_at=at, created_by=actor)
    return store.runs.insert(run, idempotency=key, limits=limits)


def refusal(store: Store, limits: SubmissionLimits, *, actor: Actor = ANN, at: datetime = NOW) -> tuple[str, int]:
    before = store.runs.counts()
    with pytest.raises(TooMany) as caught:
        submit(store, limits, actor=actor, at=at)
    assert store.runs.counts() == before
    return caught.value.code, caught.value.retry_after


def test_a_user_may_submit_so_many_runs_within_a_minute(store: Store) -> None:
    """The window slides; the refusal says when the next one fits. Another user is not affected."""
    limits = NONE._replace(per_minute=3)
    for seconds in (0, 20, 40):
        submit(store, limits, at=NOW + timedelta(seconds=seconds))
    assert refusal(store, limits, at=NOW + timedelta(seconds=41.5)) == ("too_many_submissions", 19)
    submit(store, limits, actor=BOB, at=NOW + timedelta(seconds=41.5))
    submit(store, limits, at=NOW + timedelta(seconds=60))
    assert refusal(store, limits, at=NOW + timedelta(seconds=61)) == ("too_many_submissions", 19)


def test_runs_that_ended_count_as_submissions(store: Store) -> None:
    """A caller cannot get around the limit by cancelling."""
    limits = NONE._replace(per_minute=1)
    store.runs.request_cancel(submit(store, limits).run_id, now=NOW)
    assert refusal(store, limits) == ("too_many_submissions", 60)


def test_a_clock_that_was_set_back_blocks_no_user(store: Store) -> None:
    """Runs with a time in the future do not count."""
    limits = NONE._replace(per_minute=1)
    submit(store, limits, at=NOW + timedelta(hours=1))
    submit(store, limits)


def test_the_queue_of_one_user_and_of_all_is_limited(store: Store) -> None:
    """A user's limit refuses only that user. The queue's limit refuses everyone."""
    limits = SubmissionLimits(0, 2, 3)
    submit(store, limits)
    submit(store, limits)
    assert refusal(store, limits) == ("too_many_queued_runs", 60)
    submit(store, limits, actor=BOB)
    assert refusal(store, limits, actor=BOB) == ("queue_full", 60)


def test_a_run_that_left_the_queue_is_not_counted(store: Store) -> None:
    """The run was cancelled or claimed."""
    limits = SubmissionLimits(0, 2, 2)
    first = submit(store, limits)
    submit(store, limits)
    assert refusal(store, limits)[0] == "too_many_queued_runs"
    store.runs.request_cancel(first.run_id, now=NOW)
    submit(store, limits)
    assert refusal(store, limits)[0] == "too_many_queued_runs"
    assert store.queue.claim(0, "lease", now=NOW, lease_seconds=30)
    submit(store, limits)


def test_a_repeat_is_neither_counted_nor_refused(store: Store) -> None:
    """The same idempotency key returns the first run, even if a limit is reached."""
    limits = SubmissionLimits(1, 1, 1)
    first = submit(store, limits, key=("key", "digest"))
    for _ in range(5):
        assert submit(store, limits, key=("key", "digest")).run_id == first.run_id
    assert refusal(store, limits)[0] == "too_many_submissions"


def test_a_retry_counts_as_a_queued_run(store: Store) -> None:
    """It is not a submission, so the limit per minute does not apply. A refused retry changes nothing."""
    limits = SubmissionLimits(2, 1, 0)
    ended = submit(store, limits)
    store.runs.request_cancel(ended.run_id, now=NOW)
    waiting = submit(store, limits)
    with pytest.raises(TooMany) as caught:
        store.runs.retry(ended.run_id, now=NOW, limits=limits)
    assert caught.value.code == "too_many_queued_runs"
    assert store.runs.counts()[RunStatus.CANCELLED] == 1
    store.runs.request_cancel(waiting.run_id, now=NOW)
    assert store.runs.retry(ended.run_id, now=NOW, limits=limits).status is RunStatus.QUEUED


def test_runs_of_other_processes_count_after_a_while(store: Store) -> None:
    """The command line adds runs that this process does not count; it counts the queue again after some seconds."""
    limits = SubmissionLimits(0, 0, 10)
    patient, impatient = Admission(3600.0), Admission(0.0)
    with store.database.write() as connection:
        patient.check(connection, limits, ANN.subject, NOW)
        impatient.check(connection, limits, ANN.subject, NOW)
    for _ in range(10):
        submit(store, NONE)
    with store.database.write() as connection:
        patient.check(connection, limits, ANN.subject, NOW)
        with pytest.raises(TooMany):
            impatient.check(connection, limits, ANN.subject, NOW)


def test_the_limits_cost_a_submission_nothing(store: Store) -> None:
    """They need no statement, for any number of runs. Only one submission in some seconds counts them."""
    limits = SubmissionLimits(1000, 1000, 1000)
    for queued in (0, 200):
        while store.runs.counts()[RunStatus.QUEUED] < queued:
            submit(store, NONE)
        submit(store, limits)
        with counted(store) as without:
            submit(store, NONE)
        with counted(store) as cost:
            submit(store, limits)
        assert (cost.statements, cost.rows) == (without.statements, without.rows)


def test_a_count_is_one_row_from_an_index(store: Store) -> None:
    """A full count reads index entries of queued runs only; the table is not read."""
    limits = SubmissionLimits(5, 5, 5)
    with counted(store) as cost:
        submit(store, limits)
    counts = [statement for statement in cost.sql if "count(*)" in statement]
    assert len(counts) == 3
    with store.database.read() as connection:
        plans = [
            [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")] for statement in counts
        ]
    assert all(any("USING COVERING INDEX" in step for step in plan) for plan in plans), plans


def test_many_users_take_a_bounded_amount_of_memory(store: Store) -> None:
    """Forgotten users are counted again."""
    admission = Admission()
    with store.database.write() as connection:
        for number in range(5000):
            admission.check(connection, SubmissionLimits(5, 5, 0), f"local:{number}", NOW)
    assert len(admission) <= 2050
