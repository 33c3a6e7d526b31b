"""What phases report becomes an event of their run."""

from moonmind_appliance.execution.run_events import RunEvents
from tests.appliance_under_test import ApplianceUnderTest


def test_an_event_belongs_to_the_run_and_its_shard(appliance: ApplianceUnderTest) -> None:
    """With the given data."""
    run = appliance.submit()
    RunEvents(appliance.store, run.run_id, 1).record("run.git_retried", {"attempt": 2})
    event = appliance.store.events.after(0, run_id=run.run_id)[-1]
    assert (event.kind, event.shard, event.data) == ("run.git_retried", 1, {"attempt": 2})
