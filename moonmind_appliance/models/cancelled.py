"""What a cancelled run left on GitHub, in a sentence."""

from moonmind_appliance.models.phase import PhaseName, PhaseStatus
from moonmind_appliance.models.phase_output import CommittedChange
from moonmind_appliance.models.run import Run

_NEVER_BEGAN = frozenset({PhaseStatus.PENDING, PhaseStatus.SKIPPED})


def cancelled_summary(run: Run) -> str:
    """The `result_summary` of a run that is cancelled in this state. A cancel removes nothing from GitHub."""
    return f"The run was cancelled.{_left(run)}"


def _left(run: Run) -> str:
    if run.pull_request_url:
        return f" Its pull request stays open: {run.pull_request_url}"
    committed = run.output(CommittedChange)
    pushing = run.phase(PhaseName.COMMIT_PUSH)
    if committed is not None:
        if committed.dry_run or committed.no_changes:
            return ""
        opening = run.phase(PhaseName.OPEN_PR)
        if opening.status in _NEVER_BEGAN:
            return f" Its branch {run.branch_name} stays on GitHub; no pull request was opened."
        return f" Its branch {run.branch_name} stays on GitHub, and a pull request may have been opened."
    if run.dry_run or pushing.status in _NEVER_BEGAN or not run.branch_name:
        return ""
    return f" It was committing and pushing: the branch {run.branch_name} may be on GitHub."
