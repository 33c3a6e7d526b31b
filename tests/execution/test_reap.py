"""What a dead execution holds is given back while the appliance runs; what lives is left alone."""

from moonmind_appliance.errors import EngineError, EngineUnreachable
from moonmind_appliance.execution.heartbeat import LEASE_SECONDS
from moonmind_appliance.execution.reap import Reaper
from moonmind_appliance.models import RunStatus
from tests.appliance_under_test import ApplianceUnderTest
from tests.execution.test_recover import box


def test_a_run_whose_lease_lapsed_goes_on(appliance: ApplianceUnderTest) -> None:
    """Its worker ended without a word, such as on a disk that was full: nobody restarts the appliance for it."""
    run = appliance.submit()
    appliance.store.queue.claim(0, "dead", now=appliance.clock(), lease_seconds=LEASE_SECONDS)
    reaper = Reaper(appliance.resources)
    appliance.clock.advance(seconds=LEASE_SECONDS + 59)
    assert reaper.requeue_lapsed() == []
    appliance.clock.advance(seconds=2)
    assert reaper.requeue_lapsed() == [run.run_id]
    appliance.work()
    assert appliance.stored(run).status is RunStatus.SUCCEEDED
    assert appliance.stored(run).interruptions == 1


def test_a_run_whose_lease_is_kept_alive_is_left_alone(appliance: ApplianceUnderTest) -> None:
    """However long it takes."""
    run = appliance.submit()
    appliance.store.queue.claim(0, "alive", now=appliance.clock(), lease_seconds=LEASE_SECONDS)
    for _ in range(5):
        appliance.clock.advance(hours=1)
        appliance.store.queue.heartbeat(run.run_id, "alive", now=appliance.clock(), lease_seconds=LEASE_SECONDS)
        assert Reaper(appliance.resources).requeue_lapsed() == []


def test_containers_of_runs_that_nobody_executes_are_removed(appliance: ApplianceUnderTest) -> None:
    """Of ended, waiting and unknown runs: such a container would hold its shard for ever. Others stay."""
    ended, lives = appliance.run(), appliance.submit()
    appliance.store.queue.claim(0, "lease", now=appliance.clock(), lease_seconds=LEASE_SECONDS)
    queued = appliance.submit()
    for name, run_id in [("ended", ended.run_id), ("lives", lives.run_id), ("queued", queued.run_id), ("none", "gone")]:
        box(appliance, name, run=run_id, role="agent")
    box(appliance, "theirs", owner="another", run=ended.run_id, role="agent")
    box(appliance, "login", role="login")
    assert sorted(Reaper(appliance.resources).remove_left_containers()) == ["ended", "none", "queued"]
    assert appliance.containers() == ["lives", "login", "theirs"]


def test_a_container_that_has_ended_is_removed_at_the_second_look(appliance: ApplianceUnderTest) -> None:
    """A look at a login is only created, for less than a second; one that stands still for minutes is dead."""
    box(appliance, "look", role="look", running=False)
    reaper = Reaper(appliance.resources)
    assert reaper.remove_left_containers() == []
    box(appliance, "younger", role="look", running=False)
    assert reaper.remove_left_containers() == ["look"]
    assert reaper.remove_left_containers() == ["younger"]


def test_an_engine_that_refuses_or_is_gone_breaks_nothing(appliance: ApplianceUnderTest) -> None:
    """The next look does what this one could not."""
    for name in ("a", "b"):
        box(appliance, name, run="gone", role="agent")
    reaper = Reaper(appliance.resources)
    appliance.engine.fail(EngineError("removal is in progress"), method="remove")
    assert reaper.remove_left_containers() == ["b"]
    appliance.engine.fail(EngineUnreachable("no engine"), method="containers")
    reaper.reap()
    assert reaper.remove_left_containers() == ["a"]
