"""How a phase ended."""

from moonmind_appliance.models import FailureCode, PhaseStatus, failure
from moonmind_appliance.phases.result import PhaseResult, RunFields, failed, skipped


def test_only_given_fields_of_the_run_change() -> None:
    """An empty list is given, a missing field is not."""
    assert RunFields(branch_name="b", clarifications=[]).given() == {"branch_name": "b", "clarifications": []}
    assert RunFields().given() == {}


def test_a_failure_and_a_skip_keep_their_metadata() -> None:
    """Without a status a phase succeeded."""
    why = failure(FailureCode.CLONE_FAILED, "no")
    assert failed(why, at="clone") == PhaseResult(status=PhaseStatus.FAILED, failure=why, metadata={"at": "clone"})
    assert skipped(reason="dry run").status is PhaseStatus.SKIPPED
    assert PhaseResult().status is PhaseStatus.SUCCEEDED
