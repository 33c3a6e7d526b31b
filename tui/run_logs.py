"""Lists the logs of a run, and selects the one to show first. Pure except for reading file sizes."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.errors import FileUnusable, NotFound
from moonmind_appliance.models import PhaseName, PhaseStatus
from moonmind_appliance.views.phase_logs import phase_logs
from moonmind_appliance.views.run_detail import ArtifactSummary, PhaseDetail


class LogFile(NamedTuple):
    """One stream of one attempt of a phase; `size` is the current size on disk in bytes."""

    phase: PhaseName
    attempt: int
    stream: str
    path: Path
    size: int

    @property
    def title(self) -> str:
        """The log's title for display."""
        again = f" attempt {self.attempt}" if self.attempt > 1 else ""
        return f"{self.phase.value} {self.stream}{again}"

    @property
    def has_events(self) -> bool:
        """Whether it contains Codex's events."""
        return self.path.suffix == ".jsonl"


def log_files(artifacts: Sequence[ArtifactSummary], files: ArtifactFiles) -> list[LogFile]:
    """The logs, by phase, attempt and stream. Reads the disk; a file that was deleted is left out."""
    found = []
    for log in phase_logs(artifacts):
        try:
            path = files.path(log.storage_path)
            size = path.stat().st_size
        except (NotFound, FileUnusable, OSError):
            continue
        found.append(LogFile(log.phase, log.attempt, log.stream, path, size))
    return found


def log_of_phase(logs: Sequence[LogFile], phase: PhaseName, *, failed: bool) -> LogFile | None:
    """The log of the phase's last attempt: its output, or for a failed phase its errors if there are any."""
    mine = [log for log in logs if log.phase is phase]
    if not mine:
        return None
    last = [log for log in mine if log.attempt == mine[-1].attempt]
    order = ("stderr", "stdout") if failed else ("stdout", "stderr")
    written = [log for stream in order for log in last if log.stream == stream and log.size]
    return written[0] if written else last[0]


def log_to_show(logs: Sequence[LogFile], phases: Sequence[PhaseDetail], shown: LogFile | None = None) -> LogFile | None:
    """The log of the running phase, else of the failed one; else the one that is shown, else the first with output."""
    for wanted in (PhaseStatus.RUNNING, PhaseStatus.FAILED):
        for phase in phases:
            if phase.status is wanted:
                log = log_of_phase(logs, phase.phase, failed=wanted is PhaseStatus.FAILED)
                if log is not None:
                    return log
    if shown is not None:
        return shown
    written = [log for log in logs if log.size]
    agent = [log for log in written if log.has_events]
    return next(iter([*agent, *written, *logs]), None)


def neighbour(logs: Sequence[LogFile], shown: LogFile | None, step: int) -> LogFile | None:
    """The next log with output (1), or the previous one (-1)."""
    written = [log for log in logs if log.size or (shown is not None and log.path == shown.path)]
    if not written:
        return None
    if shown is None:
        return written[0 if step > 0 else -1]
    paths = [log.path for log in written]
    place = paths.index(shown.path) if shown.path in paths else 0
    return written[(place + step) % len(written)]
