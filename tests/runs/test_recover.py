"""Before the workers start: what a crash left is made good, and nobody else's is touched."""

from moonmind_appliance.containers.fake import JOB_IMAGE
from moonmind_appliance.errors import EngineError, EngineUnreachable
from moonmind_appliance.models import ContainerSpec, Limits, RunStatus, WaitingFor, WaitReason
from moonmind_appliance.phases import LABEL_APPLIANCE, LABEL_ROLE, LABEL_RUN
from moonmind_appliance.runs.recover import recover
from tests.runs.world import ANN, World


def box(world: World, name: str, *, running: bool = True, **labels: str) -> None:
    """A container with these labels (`run`, `role`; `appliance` is ours unless given)."""
    known = {"appliance": LABEL_APPLIANCE, "run": LABEL_RUN, "role": LABEL_ROLE}
    labelled = {known[key]: value for key, value in ({"appliance": world.tools.appliance_id} | labels).items()}
    world.engine.start(
        ContainerSpec(name=name, image=JOB_IMAGE, command=["x"], labels=labelled, limits=Limits(1, 1, 1)), run=running
    )


def test_a_run_in_progress_is_queued_again_and_wakes_a_shard(world: World) -> None:
    """It counts as cut off, and goes on under a new claim."""
    run = world.submit()
    world.store.runs.claim(0, "dead", now=world.clock(), lease_seconds=30)
    world.wakeups.woken.clear()
    recovered = recover(world.tools)
    kept = world.stored(run)
    assert recovered.runs_requeued == [run.run_id]
    assert (kept.status, kept.interruptions, kept.lease) == (RunStatus.QUEUED, 1, None)
    assert world.wakeups.woken
    assert world.kinds(run)[-1] == "run.requeued"


def test_recovering_twice_does_nothing_more(world: World) -> None:
    """The second time nothing is found; shards are woken again, which is harmless."""
    world.submit()
    world.store.runs.claim(0, "dead", now=world.clock(), lease_seconds=30)
    box(world, "left", run="x", role="agent")
    recover(world.tools)
    again = recover(world.tools)
    assert (again.containers_removed, again.runs_requeued, again.runs_queued) == ([], [], 1)


def test_a_run_whose_cancel_was_asked_before_the_crash_is_cancelled(world: World) -> None:
    """It does not start again."""
    run = world.submit()
    world.store.runs.claim(0, "dead", now=world.clock(), lease_seconds=30)
    world.store.runs.request_cancel(run.run_id, now=world.clock())
    recover(world.tools)
    assert world.stored(run).status is RunStatus.CANCELLED


def test_left_containers_are_removed_and_others_are_not(world: World) -> None:
    """Ours: of any run, looks, and ended ones. Not ours: another appliance's, and a sign-in or check that goes on."""
    box(world, "agent", run="a", role="agent")
    box(world, "git", run="a", role="git")
    box(world, "look", role="look", running=False)
    box(world, "ended-check", role="check", running=False)
    box(world, "ended-login", role="login", running=False)
    box(world, "login", role="login")
    box(world, "check", role="check")
    box(world, "theirs", appliance="another", run="b", role="agent")
    removed = recover(world.tools).containers_removed
    assert sorted(removed) == ["agent", "ended-check", "ended-login", "git", "look"]
    assert world.containers() == ["check", "login", "theirs"]


def test_one_container_that_cannot_be_removed_holds_up_no_other(world: World) -> None:
    """It is tried again later."""
    for name in ("a", "b", "c"):
        box(world, name, run=name, role="agent")
    world.engine.fail(EngineError("removal is in progress"), method="remove", at=2)
    assert recover(world.tools).containers_removed == ["a", "c"]


def test_an_engine_that_does_not_answer_stops_no_start(world: World) -> None:
    """Runs are queued again all the same; starting one removes its leftovers."""
    run = world.submit()
    world.store.runs.claim(0, "dead", now=world.clock(), lease_seconds=30)
    world.engine.fail(EngineUnreachable("no engine"), method="containers")
    assert recover(world.tools).runs_requeued == [run.run_id]


def test_a_wait_until_a_time_is_scheduled_again(world: World) -> None:
    """For the time that the run waits for, on a shard that exists."""
    run = world.submit(ANN, shard=1)
    until = world.clock().replace(hour=18)
    world.store.runs.wait(run.run_id, WaitingFor(WaitReason.DISK, until))
    recover(world.tools)
    assert (1, until) in world.wakeups.timed
