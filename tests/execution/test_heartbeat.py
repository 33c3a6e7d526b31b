"""A claim is renewed while its run is executed, and notices a cancel and a lost lease."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.errors import InterruptReason, StoreError
from moonmind_appliance.execution.heartbeat import BEAT_SECONDS, LEASE_SECONDS, Heartbeat
from moonmind_appliance.models import Run
from tests.appliance_under_test import BEAT, ApplianceUnderTest


@pytest.fixture
def run(appliance: ApplianceUnderTest) -> Run:
    appliance.submit()
    claimed = appliance.store.queue.claim(0, "lease", now=appliance.clock(), lease_seconds=LEASE_SECONDS)
    assert claimed is not None
    return claimed


@pytest.fixture
def token(appliance: ApplianceUnderTest, run: Run) -> Iterator[CancelToken]:
    token = CancelToken()
    with Heartbeat(appliance.store, run, "lease", token, clock=appliance.clock, settle=never, beat=BEAT):
        yield token


def never() -> None:
    raise AssertionError("the run was settled although its worker ended it")


def beat(appliance: ApplianceUnderTest, run: Run) -> datetime:
    """Wait for the next beat; returns the new end of the claim."""
    appliance.clock.advance(seconds=100)
    expected = appliance.clock() + timedelta(seconds=LEASE_SECONDS)
    for _ in range(400):
        if appliance.store.queue.lease_until(run.run_id) == expected:
            return expected
        threading.Event().wait(0.05)
    raise AssertionError("no beat came")


def test_the_lease_outlives_several_beats() -> None:
    """A late or lost beat does not end the claim."""
    assert LEASE_SECONDS >= 5 * BEAT_SECONDS


def test_the_lease_is_renewed(appliance: ApplianceUnderTest, run: Run, token: CancelToken) -> None:
    """By the appliance's clock, and nothing is cancelled."""
    assert beat(appliance, run) > appliance.clock()
    assert token.reason is None


def test_a_cancel_is_heard_and_the_claim_stays(appliance: ApplianceUnderTest, run: Run, token: CancelToken) -> None:
    """The clean-up takes time, and its worker still owns the run."""
    appliance.store.runs.request_cancel(run.run_id, now=appliance.clock())
    assert token.wait(10)
    assert token.reason is InterruptReason.CANCELLED
    assert beat(appliance, run)


def test_a_claim_that_was_taken_away_ends_the_work(appliance: ApplianceUnderTest, run: Run, token: CancelToken) -> None:
    """And the old worker does not renew the next claim."""
    assert appliance.store.queue.requeue_abandoned(run.run_id, "lease")
    assert token.wait(10)
    assert token.reason is InterruptReason.LEASE_LOST
    assert appliance.store.queue.lease_until(run.run_id) is None


class Failing:
    """A store whose first beats fail."""

    def __init__(self, store: Any, times: int) -> None:
        self._store = store
        self.queue = self
        self.left = times

    def heartbeat(self, *arguments: Any, **options: Any) -> bool:
        if self.left:
            self.left -= 1
            raise StoreError("no space left on the disk")
        return bool(self._store.queue.heartbeat(*arguments, **options))


def test_a_beat_that_fails_ends_nothing(appliance: ApplianceUnderTest, run: Run) -> None:
    """A full disk must not end a run that is nearly done: the next beat may be saved."""
    token, failing = CancelToken(), Failing(appliance.store, 1)
    with Heartbeat(failing, run, "lease", token, clock=appliance.clock, settle=never, beat=BEAT):  # type: ignore[arg-type]
        beat(appliance, run)
    assert (failing.left, token.reason) == (0, None)


def test_a_run_whose_worker_is_blocked_is_settled(appliance: ApplianceUnderTest, run: Run) -> None:
    """Some time after the cancel was noticed; a write that fails is tried again at the next beat."""
    token, calls, settled = CancelToken(), list[int](), threading.Event()

    def settle() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise StoreError("no space left on the disk")
        settled.set()

    beating = Heartbeat(
        appliance.store, run, "lease", token, clock=appliance.clock, settle=settle, beat=BEAT, settle_after=0.05
    )
    with beating:
        beat(appliance, run)
        assert calls == []
        appliance.store.runs.request_cancel(run.run_id, now=appliance.clock())
        assert settled.wait(20)
    assert (calls, token.reason) == ([1, 1], InterruptReason.CANCELLED)
