"""What the store contains of one run, and bringing a run into a status."""

from datetime import datetime

from moonmind_appliance.models import Run, RunStatus
from moonmind_appliance.store import Store

FINAL = [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.NO_CHANGES, RunStatus.CANCELLED]


def get(store: Store, run_id: str) -> Run:
    run = store.runs.get(run_id)
    assert run is not None
    return run


def kinds(store: Store, run_id: str) -> list[str]:
    return [event.kind for event in store.events.after(0, run_id=run_id)]


def bring(store: Store, run: Run, status: RunStatus, now: datetime) -> Run:
    """Change a queued run to that status."""
    if status is not RunStatus.QUEUED:
        assert store.queue.claim(0, "L", now=now, lease_seconds=60) is not None
    if status in FINAL:
        store.progress.finish(run.run_id, "L", status, now=now, result_summary=None, failure=None)
    return get(store, run.run_id)
