"""Whether the appliance is drained, and what still runs."""

from collections.abc import Callable
from datetime import datetime, timedelta

from moonmind_appliance.models import Run
from moonmind_appliance.store import Store
from moonmind_appliance.views.drain_view import DrainView, drain_view


def test_the_state(store: Store, make_run: Callable[..., Run], now: datetime) -> None:
    """Queued runs are counted. A run whose claim has expired is not running: its process was killed."""
    run = store.runs.insert(make_run())
    store.runs.insert(make_run())
    store.queue.claim(0, "mine", now=now, lease_seconds=9)
    assert drain_view(store, now=now) == DrainView(None, [run.run_id], 1)
    store.drain.begin(now)
    assert drain_view(store, now=now + timedelta(seconds=8)) == DrainView(now, [run.run_id], 1)
    assert drain_view(store, now=now + timedelta(seconds=9)) == DrainView(now, [], 1)
