"""How a phase ended."""

from typing import Any

import msgspec

from moonmind_appliance.models import Failure, PhaseStatus, TurnOutcome, WaitingFor


class PhaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a phase ended. A failed job is a result, not an exception.

    At most one of `failure`, `waiting_for` and `no_changes` is set. `failure`: the phase failed. `waiting_for`: the run
    must wait and then repeat this phase. `no_changes`: it succeeded, and this is why there is nothing to publish.
    `notes` are fields of the run's row.
    """

    status: PhaseStatus = PhaseStatus.SUCCEEDED
    failure: Failure | None = None
    waiting_for: WaitingFor | None = None
    no_changes: str | None = None
    metadata: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    stdout_path: str | None = None
    stderr_path: str | None = None
    turn: TurnOutcome | None = None


def succeeded(**metadata: Any) -> PhaseResult:  # noqa: ANN401 - metadata is JSON
    """A success."""
    return PhaseResult(metadata=metadata)


def failed(reason: Failure, **metadata: Any) -> PhaseResult:  # noqa: ANN401 - metadata is JSON
    """A failure with its reason."""
    return PhaseResult(status=PhaseStatus.FAILED, failure=reason, metadata=metadata)


def skipped(**metadata: Any) -> PhaseResult:  # noqa: ANN401 - metadata is JSON
    """A skipped phase: there is nothing to do."""
    return PhaseResult(status=PhaseStatus.SKIPPED, metadata=metadata)
