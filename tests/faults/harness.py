"""What every schedule of faults does: start the appliance, submit runs, cause the faults, wait for the end, check.

The environment is the rehearsal's: real Docker, git, Codex and Spec Kit, with stand-ins for OpenAI and GitHub. The
appliance is a process of its own.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from tests.faults.callers import Callers
from tests.faults.collect import collect, containers_of, files_of, known_secrets, left_in_docker
from tests.faults.invariants import Violation, violations
from tests.faults.report import Report
from tests.faults.schedule import REPOSITORIES
from tests.faults.victim import Victim

_END_SECONDS = 600.0
_LEFT_SECONDS = 90.0

R = TypeVar("R", bound=Report)


class Harness(ABC, Generic[R]):
    """One schedule, from the first sign-in to the report. `main` is the program that is the appliance."""

    def __init__(
        self, environment: RehearsalEnvironment, folder: Path, report: R, main: str, say: Callable[[str], None]
    ) -> None:
        self._environment, self._say = environment, say
        self._report, self._shards = report, report.shards
        self._victim = Victim(environment, folder, main)
        self._callers = Callers(self._victim, environment, report.seed, open_runs=report.shards + 2)
        self._reached: set[str] = set()
        self._tried: set[str] = set()
        self.stopped = threading.Event()

    @abstractmethod
    def _faults(self) -> None:
        """Cause the faults, until the schedule has ended or `stopped` is set."""

    @abstractmethod
    def _measure(self) -> None:
        """Put this kind's own figures and violations into the report, after the last run ended."""

    def run(self) -> R:
        """Cause the faults, then wait for the end of every run, and check."""
        began = time.monotonic()
        for repository in REPOSITORIES:
            self._environment.github.add_repository(repository)
        for shard in range(self._shards):
            self._environment.sign_in_by(self._victim.served.environment, shard)
        self._callers.start()
        try:
            self._faults()
            self._finish()
            self._report.seconds = time.monotonic() - began
            self._check()
        finally:
            self._callers.over.set()
            self._callers.join(30)
            self._victim.served.close()
        return self._report

    def _provoke(self, needs: str) -> None:
        """Cause what a point needs to be reached soon."""
        if needs == "limit":
            self._callers.limit_next_turn()
        elif needs == "cancel":
            self._callers.cancel_newest()

    def _note(self, point: str, file: Path) -> None:
        """Record whether the armed point was reached."""
        reached = file.with_suffix(".reached")
        if point:
            self._tried.add(point)
            if reached.exists():
                self._reached.add(point)
        reached.unlink(missing_ok=True)

    def _finish(self) -> None:
        """Let every run end, then the containers of killed sign-ins and checks, which end by themselves.

        A last start and stop without a fault removes what has ended.
        """
        victim, environment = self._victim, self._environment
        self._callers.submitting = False
        if victim.has_ended():
            self._start()
        wait(_END_SECONDS, self._runs_have_ended)
        wait(_LEFT_SECONDS, lambda: not any(each.running for each in containers_of(environment.engine, environment)))
        victim.stop()
        self._start()
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        due = "SELECT count(*) AS n FROM artifacts WHERE expires_at <= ?"
        wait(_LEFT_SECONDS, lambda: victim.rows(due, now)[0]["n"] == 0)
        wait(_LEFT_SECONDS, self._nothing_is_left)
        victim.stop()

    def _start(self) -> None:
        self._victim.spawn()
        if not self._victim.wait_until_ready():
            raise RuntimeError(f"The appliance did not start: {self._victim.last_lines()}")

    def _runs_have_ended(self) -> bool:
        """Whether no run is open, and no caller waits for an answer."""
        open_runs = "SELECT count(*) AS n FROM runs WHERE status IN ('queued', 'in_progress')"
        return not self._callers.busy and self._victim.rows(open_runs)[0]["n"] == 0

    def _nothing_is_left(self) -> bool:
        """Whether retention has ended and no container exists."""
        rows = self._victim.rows("SELECT DISTINCT run_id FROM events WHERE kind = 'artifacts.removed'")
        removed = {row["run_id"] for row in rows}
        files, _ = files_of(self._victim.data_dir)
        kept = {row["run_id"] for row in self._victim.rows("SELECT run_id FROM runs")} - removed
        with_files = {path.split("/")[1] for path in files}
        return not (with_files & removed) and not left_in_docker(self._environment, kept, self._shards)

    def _check(self) -> None:
        report, victim, callers = self._report, self._victim, self._callers
        facts = collect(
            self._environment,
            dict(callers.accepted),
            repositories=REPOSITORIES,
            secrets=known_secrets(self._environment, {"the API token": victim.served.token}),
            searched=[victim.log],
            shards=self._shards,
        )
        report.submitted = len(callers.accepted)
        for run in facts.runs:
            report.statuses[run.status] = report.statuses.get(run.status, 0) + 1
        report.pull_requests = len(facts.pulls)
        report.should_have_pull_requests = sum(
            1 for run in facts.runs if run.status == "succeeded" and run.run_id not in callers.dry_runs
        )
        report.reached = sorted(self._reached)
        report.missed = sorted(self._tried - self._reached)
        report.checked = {
            "runs": len(facts.runs),
            "artifact rows": len(facts.artifacts),
            "events": len(facts.events),
            "removed by retention": len(facts.removed),
        }
        report.violations += [
            *violations(facts),
            *callers.violations,
            *(Violation("only the harness ends the process", "serve", what) for what in victim.ended_by_itself),
        ]
        self._measure()

    def _times_of(self, kind: str) -> list[tuple[str, float]]:
        """Run ids and times (seconds since the epoch) of all events of a kind, in order."""
        rows = self._victim.rows("SELECT run_id, at FROM events WHERE kind = ? ORDER BY event_id", kind)
        return [(row["run_id"], datetime.fromisoformat(row["at"]).astimezone(UTC).timestamp()) for row in rows]


def wait(seconds: float, until: Callable[[], bool]) -> bool:
    """Wait until it is true; whether it became true in this time."""
    limit = time.monotonic() + seconds
    while not (is_true := until()) and time.monotonic() < limit:
        time.sleep(0.1)
    return is_true
