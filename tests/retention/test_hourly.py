"""Everything is removed after its retention time, also without a row; what may still be needed is kept."""

from datetime import timedelta

import pytest

from moonmind_appliance.errors import DiskFull, EngineError, EngineUnreachable
from moonmind_appliance.models import LABEL_APPLIANCE, LABEL_RUN, PhaseName, Run, RunStatus
from moonmind_appliance.retention.hourly import HourlyRetention, retain
from moonmind_appliance.runs.cancel import cancel_run
from moonmind_appliance.runs.retry import retry_run
from tests.appliance_under_test import ApplianceUnderTest
from tests.containers.fake_exec import FakeExec
from tests.fakes import ANN

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def volumes(appliance: ApplianceUnderTest, run_id: str) -> list[str]:
    return [name for name in appliance.engine.volume_data if name.endswith(run_id)]


def files(appliance: ApplianceUnderTest, run: Run) -> list[str]:
    folder = appliance.resources.settings.moonmind_data_dir / "runs" / run.run_id
    return [path.name for path in folder.rglob("*")] if folder.exists() else []


def gone(appliance: ApplianceUnderTest, run: Run) -> bool:
    return not (volumes(appliance, run.run_id) or files(appliance, run) or appliance.store.artifacts.list(run.run_id))


def test_an_ended_run_keeps_its_files_and_volumes_for_their_time(appliance: ApplianceUnderTest) -> None:
    """Then both are removed, and the row with its phases stays; a second call finds nothing."""
    run = appliance.run()
    appliance.clock.advance(days=6, hours=23)
    assert retain(appliance.resources) == []
    assert len(volumes(appliance, run.run_id)) == 2
    appliance.clock.advance(hours=2)
    assert retain(appliance.resources) == [run.run_id]
    assert gone(appliance, run)
    assert appliance.stored(run).status is RunStatus.SUCCEEDED
    assert retain(appliance.resources) == []


def test_a_run_that_is_open_keeps_everything(appliance: ApplianceUnderTest) -> None:
    """Queued again by a retry, at any age: it continues in its volumes."""
    appliance.agent.acts[PhaseName.SPECKIT_PLAN] = [lambda _process: {"verdict": "failed"}]
    run = appliance.run()
    appliance.clock.advance(days=30)
    retry_run(appliance.resources, ANN, run.run_id)
    assert retain(appliance.resources) == []
    assert len(volumes(appliance, run.run_id)) == 2


def test_a_run_that_was_cancelled_in_the_queue_is_let_go_too(appliance: ApplianceUnderTest) -> None:
    """Its artifacts have no expiry: the run's end counts."""

    def full(_process: FakeExec) -> None:
        raise DiskFull("no space left")

    appliance.agent.acts[PhaseName.SPECKIT_PLAN] = [full]
    run = appliance.submit()
    appliance.work()
    assert appliance.stored(run).waiting_for is not None
    cancel_run(appliance.resources, ANN, run.run_id)
    assert files(appliance, run)
    appliance.clock.advance(days=8)
    assert retain(appliance.resources) == [run.run_id]
    assert gone(appliance, run)


def test_volumes_and_folders_of_unknown_runs_are_removed(appliance: ApplianceUnderTest) -> None:
    """Left after a database was restored. Another appliance's objects, logins, and folders of other names are kept."""
    ours = {LABEL_APPLIANCE: appliance.resources.appliance_id}
    appliance.engine.ensure_volume(f"moonmind-run-{UNKNOWN}", ours | {LABEL_RUN: UNKNOWN})
    appliance.engine.ensure_volume("theirs", {LABEL_APPLIANCE: "another", LABEL_RUN: UNKNOWN})
    appliance.engine.ensure_volume("a-login", ours)
    runs = appliance.resources.settings.moonmind_data_dir / "runs"
    (runs / UNKNOWN / "artifacts").mkdir(parents=True)
    (runs / "notes-of-the-operator").mkdir()
    assert retain(appliance.resources) == [UNKNOWN]
    assert not volumes(appliance, UNKNOWN)
    assert {"theirs", "a-login"} <= set(appliance.engine.volume_data)
    assert [path.name for path in runs.iterdir()] == ["notes-of-the-operator"]


@pytest.mark.parametrize("error", [EngineError("volume is in use"), EngineUnreachable("no engine")])
def test_a_volume_that_cannot_be_removed_does_not_block_others(
    appliance: ApplianceUnderTest, error: EngineError
) -> None:
    """It is tried again the next time."""
    runs = (appliance.run(), appliance.run())
    appliance.clock.advance(days=8)
    appliance.engine.fail(error, method="remove_volume")
    assert retain(appliance.resources) == [runs[1].run_id]
    assert retain(appliance.resources) == [runs[0].run_id]
    assert all(gone(appliance, run) for run in runs)


def test_without_an_engine_files_go_and_volumes_follow_later(appliance: ApplianceUnderTest) -> None:
    """The disk of the data folder is freed anyway."""
    run = appliance.run()
    appliance.clock.advance(days=8)
    appliance.engine.fail(EngineUnreachable("no engine"), method="volumes")
    retain(appliance.resources)
    assert files(appliance, run) == []
    assert len(volumes(appliance, run.run_id)) == 2
    retain(appliance.resources)
    assert gone(appliance, run)


def test_events_of_ended_runs_are_forgotten_long_after(appliance: ApplianceUnderTest) -> None:
    """After ninety days, or the retention time of artifacts if that is longer; those of an open run are kept."""
    ended, open_run = appliance.run(), appliance.submit(shard=1)
    appliance.clock.now = appliance.store.events.after(0)[0].at + timedelta(days=89)
    retain(appliance.resources)
    assert appliance.kinds(ended)
    appliance.clock.now = appliance.store.events.after(0)[0].at + timedelta(days=4000)
    retain(appliance.resources)
    assert appliance.kinds(ended) == []
    assert appliance.kinds(open_run) == ["run.queued"]


def test_it_runs_in_a_thread_of_its_own(appliance: ApplianceUnderTest) -> None:
    """Other periodic jobs do not wait for it; its failure is logged, and the next hour tries again."""
    run = appliance.run()
    appliance.clock.advance(days=8)
    retention = HourlyRetention(appliance.resources)
    retention.join(0)
    appliance.engine.fail(RuntimeError("a bug"), method="volumes")
    created = retention.succeeded_at
    retention.start()
    retention.join(30)
    assert retention.succeeded_at == created
    retention.start()
    retention.join(30)
    assert retention.succeeded_at > created
    assert gone(appliance, run)


def test_a_start_takes_no_shards_lock(appliance: ApplianceUnderTest) -> None:
    """Queued runs need it then. The login volumes are examined from the second time on."""
    retention, started = HourlyRetention(appliance.resources), []
    for _ in range(2):
        appliance.engine.calls.clear()
        retention.start()
        retention.join(30)
        started.append([name for method, name in appliance.engine.calls if method == "start"])
    assert started == [[], ["codex_auth_0-in-use", "codex_auth_1-in-use"]]
