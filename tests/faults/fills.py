"""Fills the data folder's disk again and again while an appliance works, and checks that nothing was lost or left.

Start it with `tests/faults/run disk`. The process is never killed.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from moonmind_appliance import settings
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from tests.faults.figures import Outage, resumed_after
from tests.faults.harness import Harness, wait
from tests.faults.invariants import Violation
from tests.faults.options import Options
from tests.faults.points import POINTS
from tests.faults.report import Report, times
from tests.faults.schedule import FILL_POINTS, Fill, fills
from tests.faults.small_disk import SmallDisk
from tests.faults.victim import API
from tests.wide_limits import WIDE_LIMITS

MAIN = "import tests.faults.fillable"
# The appliance refuses submissions below 16 MiB of free space (MIN_FREE_DISK is 64 MiB).
_DISK_MIB = 256
_POINT_SECONDS = 45.0
_AGAIN_SECONDS = 120.0
_TOP_UP_EVERY = 0.05
_READ_EVERY = 0.5


@dataclass
class FillReport(Report):
    """What happened. Times are in seconds.

    Attributes:
        fills: how often, by kind.
        refused: answers 503 to submissions, by their code.
        reads: answers 200 to requests that only read, while the disk was full.
        interrupted, continued: executions that the full disk interrupted, and those that it did not.
        runs_again: from the time at which there was space again to the claim of each interrupted run.
        accepts_again: the same, to the first submission that was accepted.
    """

    fills: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    reads: int = 0
    interrupted: int = 0
    continued: int = 0
    runs_again: list[float] = field(default_factory=list)
    accepts_again: list[float] = field(default_factory=list)

    def rows(self) -> list[tuple[str, str]]:
        """The full disks and the times to recover, too."""
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(self.fills.items()))
        refused = ", ".join(f"{n} {code}" for code, n in sorted(self.refused.items()))
        return [
            ("times the disk was full", f"{sum(self.fills.values())}: {kinds}"),
            *super().rows(),
            ("submissions refused", refused or "none"),
            ("reads answered while the disk was full", str(self.reads)),
            ("executions interrupted, continued", f"{self.interrupted}, {self.continued}"),
            ("space until a submission is accepted", times(self.accepts_again)),
            ("space until an interrupted run runs again", times(self.runs_again)),
        ]


class Fills(Harness[FillReport]):
    """A schedule of times at which the disk is full."""

    def __init__(
        self,
        environment: RehearsalEnvironment,
        folder: Path,
        disk: SmallDisk,
        *,
        seed: int,
        count: int,
        shards: int,
        say: Callable[[str], None],
    ) -> None:
        report = FillReport(seed=seed, shards=shards, points=len(FILL_POINTS))
        super().__init__(environment, folder, report, MAIN, say)
        self._disk = disk
        self._schedule = fills(seed, count)
        self._outages: list[Outage] = []
        self._client = self._victim.served.client()

    def _faults(self) -> None:
        self._start()
        for number, planned in enumerate(self._schedule, 1):
            if self.stopped.is_set():
                break
            self._one(planned, f"{number}/{len(self._schedule)}")

    def _one(self, planned: Fill, number: str) -> None:
        """One time at which the disk is full, until everything goes on."""
        victim, callers = self._victim, self._callers
        if planned.point:
            self._provoke(POINTS[planned.point].needs)
            victim.arm(planned.point, planned.number, victim.arm_file)
            wait(_POINT_SECONDS, victim.arm_file.with_suffix(".reached").exists)
            self._note(planned.point, victim.arm_file)
            victim.arm_file.unlink(missing_ok=True)
        else:
            victim.wait_for_end(planned.after)
        self._disk.fill()
        began = time.time()
        executed = {row["run_id"] for row in victim.rows("SELECT run_id FROM runs WHERE status = 'in_progress'")}
        callers.tests_whether_accepted.set()
        self._stay_full(planned.seconds)
        self._disk.free()
        outage = Outage(began, time.time(), executed)
        self._outages.append(outage)
        kind = "at a named point" if planned.point else "at an instant"
        self._report.fills[kind] = self._report.fills.get(kind, 0) + 1
        if wait(_AGAIN_SECONDS, lambda: not callers.tests_whether_accepted.is_set()):
            self._report.accepts_again.append(callers.accepted_at - outage.ended)
        else:
            self._violate("work goes on when there is space again", number, "no submission was accepted")
        if not wait(_AGAIN_SECONDS, lambda: self._goes_on(outage)):
            self._violate("work goes on when there is space again", number, "not every run was continued")
        what = planned.point or f"at an instant, after {planned.after} s"
        self._say(f"{number}: {what}, for {planned.seconds} s; {len(executed)} runs were executed")

    def _stay_full(self, seconds: float) -> None:
        """Keep the disk full, and read meanwhile."""
        limit, read_at = time.monotonic() + seconds, 0.0
        while time.monotonic() < limit and not self._victim.has_ended():
            self._disk.fill()
            if time.monotonic() >= read_at:
                self._read()
                read_at = time.monotonic() + _READ_EVERY
            time.sleep(_TOP_UP_EVERY)

    def _read(self) -> None:
        try:
            answer = self._client.get(f"{API}/runs", params={"limit": 5})
        except httpx.HTTPError as error:
            self._violate("reads are answered while the disk is full", "GET /runs", repr(error))
            return
        if answer.status_code == httpx.codes.OK:
            self._report.reads += 1
        else:
            self._violate("reads are answered while the disk is full", "GET /runs", answer.text)

    def _goes_on(self, outage: Outage) -> bool:
        """Whether each run that was executed has made a step since there was space again, or has ended."""
        rows = self._victim.rows("SELECT run_id FROM runs WHERE status NOT IN ('queued', 'in_progress')")
        left = outage.executed - {row["run_id"] for row in rows}
        for kind in ("run.claimed", "phase.succeeded", "phase.running"):
            left -= {run_id for run_id, at in self._times_of(kind) if at > outage.ended}
        return not left

    def _violate(self, invariant: str, subject: str, found: str) -> None:
        self._report.violations.append(Violation(invariant, subject, found))

    def _measure(self) -> None:
        report, claims = self._report, self._times_of("run.claimed")
        report.runs_again = resumed_after(self._outages, claims)
        report.interrupted = len(report.runs_again)
        report.continued = sum(len(outage.executed) for outage in self._outages) - report.interrupted
        report.refused = dict(Counter(code for code in self._callers.refusals))
        report.violations += [
            Violation("a full disk is not reported as a bug", "serve.log", line)
            for line in self._victim.log.read_text(encoding="utf-8", errors="replace").splitlines()
            if "Traceback" in line or "because of a bug" in line
        ]


def harness(options: Options) -> FillReport:
    """Run a schedule in an environment of its own, which is removed at the end.

    Raises:
        NeedsRoot: the small disk cannot be mounted.
    """
    overrides = WIDE_LIMITS | {"ARTIFACT_RETENTION": options.retention}
    base = settings.load({}).settings
    place = options.folder / "environment"
    with (
        SmallDisk(place / "data", _DISK_MIB) as disk,
        RehearsalEnvironment(
            base,
            overrides=overrides,
            think_seconds=options.think,
            shards=options.shards,
            folder=place,
            login_broker=options.login_broker,
        ) as environment,
    ):
        made = Fills(
            environment,
            options.folder,
            disk,
            seed=options.seed,
            count=options.count,
            shards=options.shards,
            say=options.say,
        )
        options.on_start(made.stopped)
        return made.run()
