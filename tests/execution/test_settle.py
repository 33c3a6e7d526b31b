"""A cancelled run is settled while its worker is blocked, and the worker writes nothing afterwards."""

import threading
import time
from typing import Any

import pytest

from moonmind_appliance.errors import EngineUnreachable
from moonmind_appliance.execution.executor import Executor
from moonmind_appliance.execution.heartbeat import BEAT_SECONDS, SETTLE_SECONDS
from moonmind_appliance.execution.settle import remove_leftovers
from moonmind_appliance.models import Run, RunStatus
from moonmind_appliance.runs.cancel import cancel_run
from moonmind_appliance.runs.retry import retry_run
from tests.appliance_under_test import BEAT, ApplianceUnderTest, InBackground
from tests.containers.fake_exec import FakeExec
from tests.fakes import ANN
from tests.scripted_acts import PLAN

SECONDS = 20


class Hanging:
    """Blocks, whatever is asked of it, until the test releases it."""

    def __init__(self) -> None:
        self.begun, self.released = threading.Event(), threading.Event()

    def __call__(self, process: FakeExec) -> None:
        process.stdout.write(b'{"said": "so far"}\n')
        self.begun.set()
        assert self.released.wait(SECONDS)


@pytest.fixture
def hanging(appliance: ApplianceUnderTest) -> Hanging:
    appliance.executor = Executor(appliance.resources, beat=BEAT, settle_after=0.05)
    return Hanging()


def final(appliance: ApplianceUnderTest, run: Run) -> Run:
    """Wait until the run has ended."""
    until = time.monotonic() + SECONDS
    while appliance.stored(run).completed_at is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    return appliance.stored(run)


def test_the_time() -> None:
    """The longest time until a beat, and then until the run is settled, leave half a second of 5 s for the write."""
    assert BEAT_SECONDS + SETTLE_SECONDS <= 4.5


def test_a_blocked_worker(appliance: ApplianceUnderTest, hanging: Hanging) -> None:
    """The run is cancelled before its worker returns; its artifacts are true; then the containers are removed."""
    appliance.agent.acts[PLAN] = [hanging]
    run = appliance.submit()
    worker = InBackground(appliance.work)
    assert hanging.begun.wait(SECONDS)
    cancel_run(appliance.resources, ANN, run.run_id)
    settled = final(appliance, run)
    assert (settled.status, settled.result_summary, settled.lease) == (
        RunStatus.CANCELLED,
        "The run was cancelled.",
        None,
    )
    statuses = appliance.statuses(run)
    assert (statuses["speckit_plan"], statuses["cleanup"]) == ("failed", "skipped")
    assert settled.phase(PLAN).metadata == {"error": "cancelled"}
    assert appliance.executor.wait(SECONDS), "a stop does not wait for it"
    assert appliance.executor.running() == set()
    assert_artifacts_are_true(appliance, run)
    before = appliance.kinds(run)
    hanging.released.set()
    worker.join()
    assert appliance.containers() == []
    assert appliance.stored(run) == settled
    assert appliance.kinds(run) == before
    assert_artifacts_are_true(appliance, run)


def assert_artifacts_are_true(appliance: ApplianceUnderTest, run: Run) -> None:
    """Size and digest of every row are those of the file."""
    artifacts = appliance.store.artifacts.list(run.run_id)
    assert artifacts
    for artifact in artifacts:
        found = appliance.resources.files.measure(artifact.storage_path)
        assert found is not None
        assert (found.size_bytes, found.sha256) == (artifact.size_bytes, artifact.sha256)


def test_a_retry_while_the_old_worker_is_blocked(appliance: ApplianceUnderTest, hanging: Hanging) -> None:
    """The next attempt succeeds on another shard; the old worker touches neither its row nor its containers."""
    appliance.agent.acts[PLAN] = [hanging]
    run = appliance.submit()
    old = InBackground(lambda: appliance.work(0))
    assert hanging.begun.wait(SECONDS)
    cancel_run(appliance.resources, ANN, run.run_id)
    final(appliance, run)
    seen: list[Any] = []

    def release_the_old_one(_: FakeExec) -> None:
        hanging.released.set()
        old.join()
        seen.extend(appliance.containers())

    appliance.agent.acts[PLAN] = [release_the_old_one]
    retry_run(appliance.resources, ANN, run.run_id)
    appliance.work(1)
    assert appliance.stored(run).status is RunStatus.SUCCEEDED
    assert f"moonmind-git-{run.run_id}" in seen
    assert len(appliance.github.pull_requests(appliance.slug)) == 1  # type: ignore[union-attr]


def test_leftovers_are_removed_later_if_the_engine_does_not_respond(appliance: ApplianceUnderTest) -> None:
    """It raises nothing."""
    run = appliance.run()
    appliance.engine.fail(EngineUnreachable("no response"), method="containers")
    remove_leftovers(appliance.resources, run.run_id)
