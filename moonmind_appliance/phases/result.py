"""How a phase ended."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from moonmind_appliance.models import (
    AgentInfo,
    Failure,
    PhaseName,
    PhaseOutput,
    PhaseStatus,
    TurnOutcome,
    WaitingFor,
)


class RunFields(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of the run's row that a phase sets; a field that is not given does not change."""

    agent: AgentInfo | UnsetType = UNSET
    branch_name: str | UnsetType = UNSET
    clarifications: list[str] | UnsetType = UNSET
    pull_request_url: str | UnsetType = UNSET

    def given(self) -> dict[str, Any]:
        """The fields that are given, by name."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not UNSET}


class PhaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a phase ended. A failed job is a result, not an exception.

    At most one of `failure` and `waiting_for` is set. `failure`: the phase failed. `waiting_for`: the run must wait and
    then repeat this phase. `outage`: GitHub's rate limit is reached, or GitHub does not respond: the run waits and
    repeats this phase; if it has waited too long, the other fields apply. `repeat`: with a `failure`, the earlier phase
    whose result no longer exists, and which must be repeated before this one. `output` is for later code, with the
    phase's type in `PHASE_OUTPUTS`; `metadata` is JSON for people. `note` is one sentence for the phase's event and the
    log.
    """

    status: PhaseStatus = PhaseStatus.SUCCEEDED
    failure: Failure | None = None
    waiting_for: WaitingFor | None = None
    outage: Failure | None = None
    output: PhaseOutput | None = None
    metadata: dict[str, Any] = {}
    note: str = ""
    run_fields: RunFields = RunFields()
    stdout_path: str | None = None
    stderr_path: str | None = None
    turn: TurnOutcome | None = None
    repeat: PhaseName | None = None


def failed(reason: Failure, **metadata: Any) -> PhaseResult:  # noqa: ANN401 - metadata is JSON
    """A failure with its reason."""
    return PhaseResult(status=PhaseStatus.FAILED, failure=reason, metadata=metadata)


def unavailable(reason: Failure, **metadata: Any) -> PhaseResult:  # noqa: ANN401 - metadata is JSON
    """GitHub cannot be used at the moment; a failure with that reason if the run has waited too long."""
    return PhaseResult(status=PhaseStatus.FAILED, failure=reason, outage=reason, metadata=metadata)


def skipped(**metadata: Any) -> PhaseResult:  # noqa: ANN401 - metadata is JSON
    """A skipped phase: there is nothing to do."""
    return PhaseResult(status=PhaseStatus.SKIPPED, metadata=metadata)
