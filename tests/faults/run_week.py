"""The command `tests/faults/run week`: a week of work, compressed into minutes, and what has grown at its end.

Runs are submitted all the time. Logins expire and are renewed, accounts reach their limits, which reset; retention
removes what is past its time, and the log is rotated. Hours and days are seconds: see `compressed.py` and OVERRIDES.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx

from moonmind_appliance import settings
from moonmind_appliance.models import LABEL_APPLIANCE
from moonmind_appliance.rehearsal.environment import SLUG, RehearsalEnvironment
from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse
from tests.faults.collect import appliance_id, open_to_read
from tests.faults.process import usage_of
from tests.journeys.served import Served
from tests.wide_limits import WIDE_LIMITS

API = "/api/spec-automation"
OVERRIDES = WIDE_LIMITS | {"ARTIFACT_RETENTION": "20s"}
MAIN = "import runpy; runpy.run_module('tests.faults.compressed', run_name='__main__')"
# The appliance renews a login half an hour before its token expires, and Codex itself minutes before: with shorter
# lifetimes Codex would renew it at every request.
ACCESS_SECONDS = 30 * 60 + 90.0
_TICK = 2.0
_WINDOW_SECONDS = 60.0
_LIMIT_EVERY = 45.0
_ROTATE_EVERY = 60.0
_ROTATED_FILES = 2
_COMPARED_SECONDS = 30.0


@dataclass
class Sample:
    """What exists at one time. Sizes are in MiB."""

    at: float
    rss_mib: float
    threads: int
    open_files: int
    artifacts_mib: float
    database_mib: float
    write_ahead_log_mib: float
    files: int
    log_mib: float
    containers: int
    volumes: int
    runs: int


@dataclass
class WeekReport:
    """What happened, and the samples."""

    seconds: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    renewals: int = 0
    limits: int = 0
    rotations: int = 0
    samples: list[Sample] = field(default_factory=list)

    def window(self, end: float) -> dict[str, float]:
        """The medians of the samples in the half minute before `end`."""
        chosen = [asdict(each) for each in self.samples if end - _COMPARED_SECONDS <= each.at <= end]
        return {name: statistics.median(each[name] for each in chosen) for name in chosen[0]}


class Week:
    """One compressed week."""

    def __init__(self, environment: RehearsalEnvironment, folder: Path, options: argparse.Namespace) -> None:
        self._environment, self._options = environment, options
        self._log = folder / "serve.log"
        self._served = Served(environment, self._log, MAIN)
        self._label = ""
        self._random = random.Random(options.seed)  # noqa: S311 - a schedule
        self._submitted = 0
        self._last_id = 0
        self._events: Counter[str] = Counter()
        self.report = WeekReport()

    def run(self) -> WeekReport:
        """Work for the given minutes."""
        openai, report = self._environment.openai, self.report
        openai.accounts.access_seconds = ACCESS_SECONDS
        self._environment.github.add_repository(SLUG)
        for shard in range(self._options.shards):
            self._environment.sign_in_by(self._served.environment, shard)
        issued = len(openai.accounts._refresh)
        began = time.monotonic()
        due = {self._limit: began + 20, self._new_window: began + _WINDOW_SECONDS, self._rotate: began + _ROTATE_EVERY}
        every = {self._limit: _LIMIT_EVERY, self._new_window: _WINDOW_SECONDS, self._rotate: _ROTATE_EVERY}
        try:
            self._served.start()
            self._label = appliance_id(self._environment.data_dir)
            with self._served.client() as client:
                while (now := time.monotonic()) < began + self._options.minutes * 60:
                    for job, at in due.items():
                        if now >= at:
                            job()
                            due[job] = now + every[job]
                    self._submit(client)
                    report.samples.append(self._sample(now - began))
                    time.sleep(_TICK)
            report.seconds = time.monotonic() - began
            report.renewals = len(openai.accounts._refresh) - issued
            self._count()
        finally:
            self._served.close()
        return report

    def _submit(self, client: httpx.Client) -> None:
        with open_to_read(self._environment.data_dir) as connection:
            (number,) = connection.execute(
                "SELECT count(*) FROM runs WHERE status IN ('queued', 'in_progress')"
            ).fetchone()
        if number < self._options.shards + 1:
            self._submitted += 1
            text = f"# Wish {self._submitted}\n\n- Goal: wish number {self._submitted} comes true\n"
            answer = client.post(
                f"{API}/runs", json={"repository": SLUG, "specify_text": text, "dry_run": self._submitted % 5 == 0}
            )
            assert answer.status_code == 202, answer.text

    def _limit(self) -> None:
        """The account of the next turn reaches its limit, which resets after some seconds."""
        self._environment.openai.respond_with(ScriptedResponse(ResponseKind.USAGE_LIMIT, resets_in=8), times=1)
        self.report.limits += 1

    def _new_window(self) -> None:
        """All usage windows begin again."""
        model = self._environment.openai._model
        with model._lock:
            for turn_id in [turn_id for turn_id, turn in model._turns.items() if turn.finished]:
                del model._turns[turn_id]

    def _rotate(self) -> None:
        """As logrotate does with `copytruncate`: `serve` writes to its stderr, which stays the same file."""
        for number in range(_ROTATED_FILES, 1, -1):
            with suppress(FileNotFoundError):
                Path(f"{self._log}.{number - 1}").rename(f"{self._log}.{number}")
        Path(f"{self._log}.1").write_bytes(self._log.read_bytes())
        os.truncate(self._log, 0)
        self.report.rotations += 1

    def _sample(self, at: float) -> Sample:
        usage, data_dir = usage_of(self._served.process.pid), self._environment.data_dir
        # `os.walk` skips a folder that retention removes in this moment; `Path.rglob` does not.
        found = [Path(folder, name) for folder, _, names in os.walk(data_dir) for name in names]
        files = {path: _size(path) for path in found if path.is_file()}
        artifacts = sum(size for path, size in files.items() if "artifacts" in path.parts)
        label = {LABEL_APPLIANCE: self._label}
        engine = self._environment.engine
        with open_to_read(data_dir) as connection:
            (runs,) = connection.execute("SELECT count(*) FROM runs").fetchone()
            for event_id, kind in connection.execute(
                "SELECT event_id, kind FROM events WHERE event_id > ? ORDER BY event_id", (self._last_id,)
            ):
                self._last_id = event_id
                self._events[kind] += 1
        return Sample(
            at=round(at, 1),
            **usage._asdict(),
            artifacts_mib=_mib(artifacts),
            database_mib=_mib(_size(data_dir / "appliance.db")),
            write_ahead_log_mib=_mib(_size(data_dir / "appliance.db-wal")),
            files=len(files),
            log_mib=_mib(sum(_size(path) for path in self._log.parent.glob("serve.log*"))),
            containers=len(engine.containers(label)),
            volumes=len(engine.volumes(label)),
            runs=runs,
        )

    def _count(self) -> None:
        with open_to_read(self._environment.data_dir) as connection:
            for status, failure in connection.execute("SELECT status, failure FROM runs"):
                self.report.statuses[status] = self.report.statuses.get(status, 0) + 1
                if status == "failed":
                    code = json.loads(failure)["code"]
                    self.report.failures[code] = self.report.failures.get(code, 0) + 1
        self.report.events = dict(sorted(self._events.items()))


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _mib(size: int) -> float:
    return round(size / 1024**2, 2)


def main() -> int:
    """0: nothing grew beyond what the runs' rows need. 1: something did, or a run failed."""
    parser = argparse.ArgumentParser(prog="tests/faults/run week", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long the week takes (default: 10)")
    parser.add_argument("--shards", type=int, default=3, help="shards (default: 3)")
    parser.add_argument("--think", type=float, default=0.3, help="seconds that the stand-in model waits (default: 0.3)")
    parser.add_argument("--seed", type=int, default=1, help="for what is random")
    parser.add_argument("--json", action="store_true", help="print the report with all samples as JSON")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="moonmind-week-"))
    base = settings.load({}).settings
    with RehearsalEnvironment(
        base, overrides=OVERRIDES, think_seconds=options.think, shards=options.shards
    ) as environment:
        report = Week(environment, folder, options).run()
    print(json.dumps(asdict(report)) if options.json else table(report))
    grown = what_grew(report)
    for line in grown:
        print(f"  {line}")
    print(f"The appliance's log: {folder}", file=sys.stderr)
    return 1 if grown or report.failures else 0


def what_grew(report: WeekReport) -> list[str]:
    """What is larger at the end than after the first minutes, by more than the noise. Rows of runs are kept."""
    first, last = _windows(report)
    allowed = {
        "rss_mib": first["rss_mib"] * 0.1 + 5,
        "threads": 3,
        "open_files": 10,
        "files": first["files"] * 0.5 + 60,
        "artifacts_mib": first["artifacts_mib"] + 1,
        "database_mib": 0.5 + (last["runs"] - first["runs"]) * 0.015,
        # SQLite keeps it at the size that it had before a checkpoint: four megabytes.
        "write_ahead_log_mib": 5,
        "containers": 4,
        "volumes": first["volumes"] * 0.5 + 6,
        "log_mib": first["log_mib"] * 2 + 1,
    }
    return [
        f"{name} grew from {first[name]:g} to {last[name]:g}"
        for name, most in allowed.items()
        if last[name] - first[name] > most
    ]


def _windows(report: WeekReport) -> tuple[dict[str, float], dict[str, float]]:
    """After the first minute and a half, when retention has begun to remove things, and at the end."""
    end = report.samples[-1].at
    return report.window(min(90.0, end)), report.window(end)


def table(report: WeekReport) -> str:
    """The report for people."""
    first, last = _windows(report)
    counted = ", ".join(f"{n} {status}" for status, n in sorted(report.statuses.items()))
    lines = [
        f"duration           {report.seconds:.0f} s",
        f"runs               {counted}; failures: {report.failures or 'none'}",
        f"logins             {report.renewals} renewals; each is due after {ACCESS_SECONDS - 1800:.0f} s",
        f"limits             {report.limits} accounts were used up for 8 s",
        f"removed            artifacts of {report.events.get('artifacts.removed', 0)} runs",
        f"log rotations      {report.rotations}",
        f"{'':<18} {'after 60 to 90 s':>17} {'at the end':>12}",
    ]
    lines += [f"{name:<18} {first[name]:>17.2f} {last[name]:>12.2f}" for name in first if name != "at"]
    kept = last["runs"] - first["runs"]
    if kept > 0:
        growth = (last["database_mib"] - first["database_mib"]) * 1024 / kept
        lines.append(f"database growth    {growth:.1f} KiB for each run that was added; rows of runs are kept")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
