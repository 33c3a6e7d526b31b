"""Which containers a sweep removes while the appliance runs. `test_recover` tests the sweep at the start."""

from moonmind_appliance.errors import EngineError, EngineUnreachable
from moonmind_appliance.execution.heartbeat import LEASE_SECONDS
from moonmind_appliance.execution.sweep import Sweeper, When
from tests.appliance_under_test import ApplianceUnderTest
from tests.execution.test_recover import box


def test_containers_of_runs_that_nobody_executes_are_removed(appliance: ApplianceUnderTest) -> None:
    """Of ended, waiting and unknown runs: such a container would lock its shard permanently. Others are not removed."""
    ended, lives = appliance.run(), appliance.submit()
    appliance.store.queue.claim(0, "lease", now=appliance.clock(), lease_seconds=LEASE_SECONDS)
    queued = appliance.submit()
    for name, run_id in [("ended", ended.run_id), ("lives", lives.run_id), ("queued", queued.run_id), ("none", "gone")]:
        box(appliance, name, run=run_id, role="agent")
    box(appliance, "theirs", owner="another", run=ended.run_id, role="agent")
    box(appliance, "login", role="login")
    assert sorted(Sweeper(appliance.resources).sweep(When.PERIODIC)) == ["ended", "none", "queued"]
    assert appliance.containers() == ["lives", "login", "theirs"]


def test_a_container_that_does_not_run_is_removed_by_the_second_sweep(appliance: ApplianceUnderTest) -> None:
    """The container that reads a login file exists for less than a second; an older one was left by a crash."""
    box(appliance, "look", role="look", running=False)
    sweeper = Sweeper(appliance.resources)
    assert sweeper.sweep(When.PERIODIC) == []
    box(appliance, "younger", role="look", running=False)
    assert sweeper.sweep(When.PERIODIC) == ["look"]
    assert sweeper.sweep(When.PERIODIC) == ["younger"]


def test_an_engine_that_refuses_or_is_gone_breaks_nothing(appliance: ApplianceUnderTest) -> None:
    """The next sweep removes what this one could not."""
    for name in ("a", "b"):
        box(appliance, name, run="gone", role="agent")
    sweeper = Sweeper(appliance.resources)
    appliance.engine.fail(EngineError("removal is in progress"), method="remove")
    assert sweeper.sweep(When.PERIODIC) == ["b"]
    appliance.engine.fail(EngineUnreachable("no engine"), method="containers")
    assert sweeper.sweep(When.PERIODIC) == []
    assert sweeper.sweep(When.PERIODIC) == ["a"]


def test_a_run_that_cannot_be_read_keeps_no_other_container(appliance: ApplianceUnderTest) -> None:
    """The start removes its containers, as nothing executes it then."""
    damaged, ended = appliance.run(), appliance.run()
    with appliance.store.database.write() as connection:
        connection.execute("UPDATE runs SET accepted_at = 'x' WHERE run_id = ?", (damaged.run_id,))
    for name, run in (("a", damaged), ("b", ended)):
        box(appliance, name, run=run.run_id, role="agent")
    sweeper = Sweeper(appliance.resources)
    assert sweeper.sweep(When.PERIODIC) == ["b"]
    assert sweeper.sweep(When.START) == ["a"]
