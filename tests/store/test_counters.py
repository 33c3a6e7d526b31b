"""Counters only grow: by each end of a run and each phase that succeeded, whatever happens to the rows later."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from moonmind_appliance.models import FailureCode, Phase, PhaseName, PhaseStatus, Run, RunStatus, failure
from moonmind_appliance.store import Store
from moonmind_appliance.store.counters import ENDED, PHASE_SUM, count, count_phase, phase_histogram


def fail(store: Store, run: Run, now: datetime) -> None:
    what = failure(FailureCode.AGENT_SILENT, "No output for 10 minutes.")
    store.progress.finish(run.run_id, "mine", RunStatus.FAILED, now=now, result_summary=None, failure=what)


def test_an_end_is_counted_with_its_failure_code(store: Store, claimed: Run, now: datetime) -> None:
    """Once for each end: a retried run that fails again counts twice."""
    fail(store, claimed, now)
    assert store.counters.all() == {(ENDED, "failed", "agent_silent"): 1}
    store.runs.retry(claimed.run_id, now=now)
    store.queue.claim(1, "mine", now=now, lease_seconds=60)
    fail(store, claimed, now)
    assert store.counters.all() == {(ENDED, "failed", "agent_silent"): 2}


def test_a_cancelled_run_is_counted(store: Store, make_run: Callable[..., Run], now: datetime) -> None:
    """Without a failure code; a run that returns to the queue has not ended."""
    run = store.runs.insert(make_run())
    store.queue.claim(1, "mine", now=now, lease_seconds=60)
    store.queue.release(run.run_id, "mine", waiting_for=None, interrupted=True)
    assert store.counters.all() == {}
    store.runs.request_cancel(run.run_id, now=now)
    assert store.counters.all() == {(ENDED, "cancelled", ""): 1}


def test_counters_survive_a_restart_and_the_removal_of_the_run(
    store: Store, data_dir: Path, claimed: Run, now: datetime
) -> None:
    """Prometheus takes a counter that falls for a restart from zero."""
    fail(store, claimed, now)
    store.run_rows.remove(claimed.run_id, unreadable=False, now=now)
    store.close()
    again = Store.open(data_dir)
    assert again.counters.all() == {(ENDED, "failed", "agent_silent"): 1}
    again.close()


def test_a_change_that_is_rolled_back_is_not_counted(store: Store) -> None:
    """The counter is part of the transaction."""
    with suppress(ZeroDivisionError), store.database.write() as connection:
        count(connection, ENDED, "failed", "agent_silent")
        raise ZeroDivisionError
    assert store.counters.all() == {}


def test_only_phases_that_succeeded_are_timed(store: Store, claimed: Run, now: datetime) -> None:
    """From the phase's start to its completion."""
    for name, status in ((PhaseName.GIT_CLONE, PhaseStatus.SUCCEEDED), (PhaseName.COMMIT_PUSH, PhaseStatus.FAILED)):
        phase = Phase(phase=name, status=PhaseStatus.RUNNING, attempt=1, started_at=now)
        store.progress.save_phase(claimed.run_id, "mine", phase)
        end = now + timedelta(seconds=3.5)
        ended = Phase(phase=name, status=status, attempt=1, started_at=now, completed_at=end)
        store.progress.save_phase(claimed.run_id, "mine", ended)
    found = store.counters.all()
    assert {key for key in found if key[0] == PHASE_SUM} == {(PHASE_SUM, "git_clone")}
    buckets, total = phase_histogram(found, "git_clone")
    assert total == 3.5
    assert dict(buckets)["2"] == 0
    assert dict(buckets)["5"] == dict(buckets)["+Inf"] == 1


def test_a_bucket_includes_the_smaller_ones(store: Store) -> None:
    """A duration on the bound belongs to that bucket; one above every bound only to +Inf."""
    with store.database.write() as connection:
        for seconds in (0.2, 5, 5.1, 100_000):
            count_phase(connection, "git_clone", seconds)
    buckets, total = phase_histogram(store.counters.all(), "git_clone")
    counts = dict(buckets)
    assert [counts[bound] for bound in ("0.5", "2", "5", "10", "5400", "+Inf")] == [1, 1, 2, 3, 3, 4]
    assert total == pytest.approx(100_010.3)


def test_a_row_that_is_no_number(store: Store) -> None:
    """Does not hide the other counters, and counts from 0 again."""
    with store.database.write() as connection:
        connection.execute("INSERT INTO appliance VALUES ('counter:runs_ended:failed:x', 'many')")
        count(connection, ENDED, "succeeded", "")
    assert store.counters.all() == {(ENDED, "failed", "x"): 0, (ENDED, "succeeded", ""): 1}
