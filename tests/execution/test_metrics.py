"""The metrics of a run."""

import json

from moonmind_appliance.models import (
    PHASE_ORDER,
    RunStatus,
)
from tests.appliance_under_test import ApplianceUnderTest, ends
from tests.containers.fake_exec import FakeExec


def test_metrics_sum_the_phases(appliance: ApplianceUnderTest) -> None:
    """Tokens of the three turns, an entry for each phase, and how long the run waited."""
    run = appliance.run()
    artifact = next(a for a in appliance.store.artifacts.list(run.run_id) if a.name == "metrics.json")
    metrics = json.loads(appliance.resources.files.path(artifact.storage_path).read_bytes())
    assert metrics["usage"] == {"output_tokens": 21}
    assert [entry["phase"] for entry in metrics["phases"]] == [name.value for name in PHASE_ORDER]
    assert metrics["waited_seconds"] == 0


def test_metrics_that_cannot_be_kept_change_no_result(appliance: ApplianceUnderTest) -> None:
    """A full disk at the very end does not undo a pull request."""

    def fill(_process: FakeExec) -> None:
        folder = appliance.resources.settings.moonmind_data_dir / "runs"
        (next(folder.iterdir()) / "artifacts" / "metrics.json").mkdir()

    appliance.git_acts["push"] = [fill]
    assert ends(appliance.run()) == (RunStatus.SUCCEEDED, None)
