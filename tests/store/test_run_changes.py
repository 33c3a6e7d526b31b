"""The one way in which a stored run changes its status."""

from collections.abc import Callable
from datetime import datetime

import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import RUN_MOVES, Run, RunStatus
from moonmind_appliance.store import Store
from moonmind_appliance.store.run_changes import change_status
from tests.store.stored import bring, get, kinds


@pytest.mark.parametrize("current", RunStatus)
@pytest.mark.parametrize("target", RunStatus)
def test_moves(
    store: Store, make_run: Callable[..., Run], now: datetime, current: RunStatus, target: RunStatus
) -> None:
    """Only the transitions that the model allows are made, each with its event."""
    run = bring(store, store.runs.insert(make_run()), current, now)
    before = kinds(store, run.run_id)
    lease = {"lease": "new"} if target is RunStatus.IN_PROGRESS else {}

    def change() -> None:
        with store.database.write() as connection:
            change_status(connection, run.run_id, current, target, "run.changed", fields=lease)

    if target in RUN_MOVES[current]:
        change()
        assert get(store, run.run_id).status is target
        assert kinds(store, run.run_id) == [*before, "run.changed"]
    else:
        with pytest.raises(StoreError, match=f"from {current.value} to {target.value}"):
            change()
        assert get(store, run.run_id) == run
        assert kinds(store, run.run_id) == before
