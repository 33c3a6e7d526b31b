"""What a scripted turn or a scripted Git program does, and what happens to an appliance meanwhile."""

import threading
from typing import Any

import msgspec
import pytest

from moonmind_appliance.models import (
    PHASE_ORDER,
    LoginState,
    PhaseName,
    Run,
)
from moonmind_appliance.runs.retry import retry_run
from moonmind_appliance.store.shards import ShardChange
from tests.appliance_under_test import ApplianceUnderTest
from tests.containers.fake_exec import FakeExec
from tests.fakes import ANN

SPECIFY, PLAN, TASKS = PhaseName.SPECKIT_SPECIFY, PhaseName.SPECKIT_PLAN, PhaseName.SPECKIT_TASKS
ALL_DONE = dict.fromkeys([name.value for name in PHASE_ORDER], "succeeded")


def says(**fields: Any) -> Any:
    """Do nothing, and report these fields."""
    return lambda _process: fields


def git_fails(stderr: str) -> Any:
    """End with exit code 1 and this message of Git."""

    def act(process: FakeExec) -> dict[str, Any]:
        process.stderr.write(stderr.encode())
        return {"exit_code": 1}

    return act


def retry(appliance: ApplianceUnderTest, run: Run) -> Run:
    """Retry the run and execute it."""
    retry_run(appliance.resources, ANN, run.run_id)
    appliance.work()
    return appliance.stored(run)


def interrupt_after(appliance: ApplianceUnderTest, run: Run, phase: PhaseName, *, saved: bool = True) -> None:
    """End the process right after the phase's row is written; without `saved`, right before."""
    progress, save = appliance.store.progress, appliance.store.progress.save_phase

    class Interrupted(BaseException):
        pass

    class Interrupting:
        """Passes everything on to the store until then."""

        def __getattr__(self, name: str) -> Any:
            return getattr(progress, name)

        def save_phase(self, run_id: str, lease: str, entry: Any, **more: Any) -> None:
            is_last = entry.phase is phase and entry.status.value == "succeeded"
            if saved or not is_last:
                save(run_id, lease, entry, **more)
            if is_last:
                raise Interrupted

    appliance.store.progress = Interrupting()  # type: ignore[assignment]
    try:
        with pytest.raises(Interrupted):
            appliance.work()
    finally:
        appliance.store.progress = progress
    lease = appliance.stored(run).lease
    assert appliance.store.queue.requeue_abandoned(run.run_id, lease)


def with_login(known: Any) -> Any:
    """The shard has a login that was already checked, so that only the run calls the engine."""
    return ShardChange(msgspec.structs.replace(known, login=LoginState.PRESENT))


class Blocked:
    """Begins, and does not end by itself."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    def __call__(self, process: FakeExec) -> None:
        self.begun.set()
        process.sleep(30)


def assert_nowhere(appliance: ApplianceUnderTest, secret: str) -> None:
    folder = appliance.resources.settings.moonmind_data_dir
    hits = [str(path) for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert hits == []
