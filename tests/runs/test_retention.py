"""What is over its time goes, whoever forgot it; what may still be needed stays."""

from datetime import timedelta

import pytest

from moonmind_appliance.containers.fake import FakeExec
from moonmind_appliance.errors import DiskFull, EngineError, EngineUnreachable
from moonmind_appliance.models import PhaseName, Run, RunStatus
from moonmind_appliance.phases import LABEL_APPLIANCE, LABEL_RUN
from moonmind_appliance.runs.cancel import cancel_run
from moonmind_appliance.runs.retention import retain
from moonmind_appliance.runs.retry import retry_run
from tests.runs.world import ANN, World

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def volumes(world: World, run_id: str) -> list[str]:
    return [name for name in world.engine.volume_data if name.endswith(run_id)]


def files(world: World, run: Run) -> list[str]:
    folder = world.tools.settings.moonmind_data_dir / "runs" / run.run_id
    return [path.name for path in folder.rglob("*")] if folder.exists() else []


def gone(world: World, run: Run) -> bool:
    return not (volumes(world, run.run_id) or files(world, run) or world.store.artifacts.list(run.run_id))


def test_an_ended_run_keeps_its_files_and_volumes_for_their_time(world: World) -> None:
    """Then both go, and the row with its phases stays; a second look finds nothing."""
    run = world.run()
    world.clock.advance(days=6, hours=23)
    assert retain(world.tools) == []
    assert len(volumes(world, run.run_id)) == 2
    world.clock.advance(hours=2)
    assert retain(world.tools) == [run.run_id]
    assert gone(world, run)
    assert world.stored(run).status is RunStatus.SUCCEEDED
    assert retain(world.tools) == []


def test_a_run_that_is_open_keeps_everything(world: World) -> None:
    """Queued again by a retry, however old it is: it goes on in its volumes."""
    world.agent.acts[PhaseName.SPECKIT_PLAN] = [lambda _process: {"verdict": "failed"}]
    run = world.run()
    world.clock.advance(days=30)
    retry_run(world.store, world.wakeups, world.tools.settings, ANN, run.run_id, now=world.clock())
    assert retain(world.tools) == []
    assert len(volumes(world, run.run_id)) == 2


def test_a_run_that_was_cancelled_in_the_queue_is_let_go_too(world: World) -> None:
    """Nobody told its artifacts their time: the run's own end counts."""

    def full(_process: FakeExec) -> None:
        raise DiskFull("no space left")

    world.agent.acts[PhaseName.SPECKIT_PLAN] = [full]
    run = world.submit()
    world.work()
    assert world.stored(run).waiting_for is not None
    cancel_run(world.store, ANN, run.run_id, now=world.clock())
    assert files(world, run)
    world.clock.advance(days=8)
    assert retain(world.tools) == [run.run_id]
    assert gone(world, run)


def test_volumes_and_folders_of_unknown_runs_are_removed(world: World) -> None:
    """Left by a database that was put back; another appliance's, logins, and folders by other names stay."""
    ours = {LABEL_APPLIANCE: world.tools.appliance_id}
    world.engine.ensure_volume(f"moonmind-run-{UNKNOWN}", ours | {LABEL_RUN: UNKNOWN})
    world.engine.ensure_volume("theirs", {LABEL_APPLIANCE: "another", LABEL_RUN: UNKNOWN})
    world.engine.ensure_volume("a-login", ours)
    runs = world.tools.settings.moonmind_data_dir / "runs"
    (runs / UNKNOWN / "artifacts").mkdir(parents=True)
    (runs / "notes-of-the-operator").mkdir()
    assert retain(world.tools) == [UNKNOWN]
    assert not volumes(world, UNKNOWN)
    assert {"theirs", "a-login"} <= set(world.engine.volume_data)
    assert [path.name for path in runs.iterdir()] == ["notes-of-the-operator"]


@pytest.mark.parametrize("error", [EngineError("volume is in use"), EngineUnreachable("no engine")])
def test_one_volume_that_stays_holds_up_no_other_run(world: World, error: EngineError) -> None:
    """It is tried again the next time."""
    runs = sorted((world.run(), world.run()), key=lambda run: run.run_id)
    world.clock.advance(days=8)
    world.engine.fail(error, method="remove_volume")
    assert retain(world.tools) == [runs[1].run_id]
    assert retain(world.tools) == [runs[0].run_id]
    assert all(gone(world, run) for run in runs)


def test_without_an_engine_files_go_and_volumes_follow_later(world: World) -> None:
    """The disk of the data folder is freed all the same."""
    run = world.run()
    world.clock.advance(days=8)
    world.engine.fail(EngineUnreachable("no engine"), method="volumes")
    retain(world.tools)
    assert files(world, run) == []
    assert len(volumes(world, run.run_id)) == 2
    retain(world.tools)
    assert gone(world, run)


def test_events_of_ended_runs_are_forgotten_long_after(world: World) -> None:
    """After ninety days, or as long as artifacts are kept; those of an open run stay."""
    ended, open_run = world.run(), world.submit(shard=1)
    world.clock.now = world.store.events.after(0)[0].at + timedelta(days=89)
    retain(world.tools)
    assert world.kinds(ended)
    world.clock.now = world.store.events.after(0)[0].at + timedelta(days=4000)
    retain(world.tools)
    assert world.kinds(ended) == []
    assert world.kinds(open_run) == ["run.queued"]
