"""A run is removed with its files."""

import pytest

from moonmind_appliance.errors import Conflict, NotFound
from moonmind_appliance.runs.cancel import cancel_run
from moonmind_appliance.runs.remove import export_run, remove_run
from tests.appliance_under_test import ApplianceUnderTest
from tests.fakes import ANN


def test_an_ended_run_is_removed_with_its_artifacts(appliance: ApplianceUnderTest) -> None:
    """Another one keeps its own."""
    run, other = appliance.run(), appliance.run()
    assert export_run(appliance.resources, run.run_id)["artifacts"]
    remove_run(appliance.resources, run.run_id)
    assert appliance.resources.files.run_ids() == [other.run_id]
    for verb in (export_run, remove_run):
        with pytest.raises(NotFound) as missing:
            verb(appliance.resources, run.run_id)
        assert missing.value.code == "run_not_found"


def test_a_queued_run_must_be_cancelled_first(appliance: ApplianceUnderTest) -> None:
    """Nothing is removed before."""
    run = appliance.submit()
    with pytest.raises(Conflict, match="has not ended"):
        remove_run(appliance.resources, run.run_id)
    cancel_run(appliance.resources, ANN, run.run_id)
    remove_run(appliance.resources, run.run_id)
    assert appliance.store.runs.get(run.run_id) is None


def test_an_unreadable_run_can_be_removed_while_it_is_queued(appliance: ApplianceUnderTest) -> None:
    """It cannot be cancelled."""
    run = appliance.submit()
    with appliance.store.database.write() as connection:
        connection.execute("UPDATE runs SET created_by = '{' WHERE run_id = ?", (run.run_id,))
    remove_run(appliance.resources, run.run_id)
    with pytest.raises(NotFound):
        export_run(appliance.resources, run.run_id)
