"""Programs that are started before their command is due."""

import threading
import time
from collections.abc import Callable

import pytest

from moonmind_appliance.containers.engine import CancelToken, PreparedExec
from moonmind_appliance.errors import EngineError, InterruptReason
from moonmind_appliance.in_container.command import command
from moonmind_appliance.models import ContainerSpec, ExecSpec, Limits, PhaseName, RunStatus
from moonmind_appliance.phases.prepared_commands import PreparedCommands
from tests.appliance_under_test import ApplianceUnderTest, ends
from tests.containers.fake import JOB_IMAGE, FakeEngine

LIMITS = Limits(memory_bytes=2**28, cpus=1.0, pids=64)
FIRST, SECOND = command("git_stage", {"job": 1}), command("git_push", {})


@pytest.fixture
def engine() -> FakeEngine:
    made = FakeEngine()
    for name in ("box", "other"):
        made.start(ContainerSpec(name=name, image=JOB_IMAGE, command=["sleep"], labels={}, limits=LIMITS))
    return made


@pytest.fixture
def cancel() -> CancelToken:
    return CancelToken()


def _until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_program_is_taken_once_for_any_job(engine: FakeEngine, cancel: CancelToken) -> None:
    """It fits each job of its program in its container, and nothing else."""
    prepared = PreparedCommands(engine)
    prepared.prepare("box", FIRST)
    assert prepared.take("box", SECOND, cancel) is None
    assert prepared.take("other", FIRST, cancel) is None
    assert prepared.take("box", command("git_stage", {"job": 2}), cancel) is engine.prepared[0]
    assert prepared.take("box", FIRST, cancel) is None


def test_a_program_that_could_not_be_started_is_missing(engine: FakeEngine, cancel: CancelToken) -> None:
    """The engine's error does not fail the run: the command is executed anew."""
    prepared = PreparedCommands(engine)
    engine.fail(EngineError("no"), method="prepare")
    prepared.prepare("box", FIRST)
    assert prepared.take("box", FIRST, cancel) is None


def test_a_cancel_does_not_wait_for_a_start(
    engine: FakeEngine, cancel: CancelToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that starts after a cancel is ended."""
    prepared, go, start = PreparedCommands(engine), threading.Event(), engine.prepare

    def start_late(container: str, spec: ExecSpec) -> PreparedExec:
        go.wait(10)
        return start(container, spec)

    monkeypatch.setattr(engine, "prepare", start_late)
    prepared.prepare("box", FIRST)
    cancel.cancel(InterruptReason.CANCELLED)
    assert prepared.take("box", FIRST, cancel) is None
    go.set()
    _until(lambda: [each.ended for each in engine.prepared] == [True])


def test_what_waits_at_the_end_is_closed(engine: FakeEngine, cancel: CancelToken) -> None:
    """This includes a program that is still starting. Afterwards nothing is prepared."""
    prepared = PreparedCommands(engine)
    prepared.prepare("box", FIRST)
    prepared.prepare("other", SECOND)
    prepared.close()
    prepared.close()
    _until(lambda: [each.ended for each in engine.prepared] == [True, True])
    prepared.prepare("box", FIRST)
    assert prepared.take("box", FIRST, cancel) is None


def test_each_turn_the_commit_and_the_push_are_prepared(appliance: ApplianceUnderTest) -> None:
    """During a run five programs wait, and none is left at its end."""
    assert ends(appliance.run()) == (RunStatus.SUCCEEDED, None)
    assert [each.ended for each in appliance.engine.prepared] == [True] * 5


def test_a_run_without_them_does_the_same(appliance: ApplianceUnderTest) -> None:
    """If the engine cannot start a program in advance, the run only takes longer."""
    appliance.engine.fail(EngineError("no"), method="prepare", times=100)
    assert ends(appliance.run()) == (RunStatus.SUCCEEDED, None)
    assert appliance.engine.prepared == []


def test_a_waiting_program_that_ended_is_replaced(appliance: ApplianceUnderTest) -> None:
    """If an agent ended it, its command is executed anew, once."""

    def end_all(_: object) -> None:
        for each in appliance.engine.prepared:
            each.ended = True

    appliance.git_acts["clone"] = [end_all]
    appliance.git_acts["stage"] = [end_all]
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert {phase.attempt for phase in run.phases} == {1}
    assert run.phase(PhaseName.COMMIT_PUSH).output is not None
