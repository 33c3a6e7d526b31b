"""Finds the logs of a run's phases among its artifacts, by attempt."""

from collections.abc import Iterable
from typing import NamedTuple

from moonmind_appliance.models import PHASE_ORDER, Artifact, ArtifactType, PhaseName
from moonmind_appliance.views.run_detail import ArtifactSummary

_STREAMS = {ArtifactType.STDOUT_LOG: "stdout", ArtifactType.STDERR_LOG: "stderr"}
_PHASES = {phase.value: phase for phase in PHASE_ORDER}
_ATTEMPT = "attempt-"


class PhaseLog(NamedTuple):
    """One stream, `stdout` or `stderr`, of one attempt of a phase; `storage_path` is relative to the data folder."""

    phase: PhaseName
    attempt: int
    stream: str
    artifact_id: str
    storage_path: str


def phase_logs(artifacts: Iterable[Artifact | ArtifactSummary]) -> list[PhaseLog]:
    """The logs among the artifacts, by phase, attempt and stream, including those that still grow.

    Their names are those of `execution/artifacts.py`: `speckit_plan.stdout.jsonl`, `git_clone.attempt-2.stderr.log`.
    """
    found = []
    for artifact in artifacts:
        first, *others = artifact.name.split(".")
        phase, stream = _PHASES.get(first), _STREAMS.get(artifact.artifact_type)
        if phase is not None and stream is not None:
            found.append(PhaseLog(phase, _attempt(others), stream, artifact.artifact_id, artifact.storage_path))
    return sorted(found, key=lambda log: (PHASE_ORDER.index(log.phase), log.attempt, log.stream == "stderr"))


def _attempt(parts: Iterable[str]) -> int:
    numbers = (part.removeprefix(_ATTEMPT) for part in parts if part.startswith(_ATTEMPT))
    return next((int(number) for number in numbers if number.isdecimal()), 1)
