"""What a dead execution holds is given back while the appliance runs; what lives is left alone."""

from moonmind_appliance.errors import EngineError, EngineUnreachable
from moonmind_appliance.models import RunStatus
from moonmind_appliance.runs.heartbeat import LEASE_SECONDS
from moonmind_appliance.runs.reap import Reaper
from tests.runs.test_recover import box
from tests.runs.world import World


def test_a_run_whose_lease_lapsed_goes_on(world: World) -> None:
    """Its worker ended without a word, such as on a disk that was full: nobody restarts the appliance for it."""
    run = world.submit()
    world.store.runs.claim(0, "dead", now=world.clock(), lease_seconds=LEASE_SECONDS)
    reaper = Reaper(world.tools)
    world.clock.advance(seconds=LEASE_SECONDS + 59)
    assert reaper.requeue_lapsed() == []
    world.clock.advance(seconds=2)
    assert reaper.requeue_lapsed() == [run.run_id]
    world.work()
    assert world.stored(run).status is RunStatus.SUCCEEDED
    assert world.stored(run).interruptions == 1


def test_a_run_whose_lease_is_kept_alive_is_left_alone(world: World) -> None:
    """However long it takes."""
    run = world.submit()
    world.store.runs.claim(0, "alive", now=world.clock(), lease_seconds=LEASE_SECONDS)
    for _ in range(5):
        world.clock.advance(hours=1)
        world.store.runs.heartbeat(run.run_id, "alive", now=world.clock(), lease_seconds=LEASE_SECONDS)
        assert Reaper(world.tools).requeue_lapsed() == []


def test_containers_of_runs_that_nobody_executes_are_removed(world: World) -> None:
    """Of ended, waiting and unknown runs: such a container would hold its shard for ever. Others stay."""
    ended, lives = world.run(), world.submit()
    world.store.runs.claim(0, "lease", now=world.clock(), lease_seconds=LEASE_SECONDS)
    queued = world.submit()
    for name, run_id in [("ended", ended.run_id), ("lives", lives.run_id), ("queued", queued.run_id), ("none", "gone")]:
        box(world, name, run=run_id, role="agent")
    box(world, "theirs", appliance="another", run=ended.run_id, role="agent")
    box(world, "login", role="login")
    assert sorted(Reaper(world.tools).remove_left_containers()) == ["ended", "none", "queued"]
    assert world.containers() == ["lives", "login", "theirs"]


def test_a_container_that_has_ended_is_removed_at_the_second_look(world: World) -> None:
    """A look at a login is only created, for less than a second; one that stands still for minutes is dead."""
    box(world, "look", role="look", running=False)
    reaper = Reaper(world.tools)
    assert reaper.remove_left_containers() == []
    box(world, "younger", role="look", running=False)
    assert reaper.remove_left_containers() == ["look"]
    assert reaper.remove_left_containers() == ["younger"]


def test_an_engine_that_refuses_or_is_gone_breaks_nothing(world: World) -> None:
    """The next look does what this one could not."""
    for name in ("a", "b"):
        box(world, name, run="gone", role="agent")
    reaper = Reaper(world.tools)
    world.engine.fail(EngineError("removal is in progress"), method="remove")
    assert reaper.remove_left_containers() == ["b"]
    world.engine.fail(EngineUnreachable("no engine"), method="containers")
    reaper.reap()
    assert reaper.remove_left_containers() == ["a"]
