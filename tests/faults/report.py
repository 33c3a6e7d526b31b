"""What happened in a schedule of faults, and how it is printed. Pure, except for the signal."""

import json
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

from tests.faults.figures import quantile
from tests.faults.invariants import INVARIANTS, Violation


@dataclass
class Report:
    """What every schedule reports. `reached` and `missed` are named points. Times are in seconds."""

    seed: int
    shards: int
    seconds: float = 0.0
    submitted: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    pull_requests: int = 0
    should_have_pull_requests: int = 0
    points: int = 0
    reached: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)

    def rows(self) -> list[tuple[str, str]]:
        """What and how many, for the table."""
        lost = sum(1 for each in self.violations if each.invariant == "no run is lost")
        return [
            ("seed, shards", f"{self.seed}, {self.shards}"),
            ("named points reached", f"{len(self.reached)} of {self.points}"),
            ("tried and not reached", "; ".join(self.missed) or "none"),
            ("duration", f"{self.seconds:.0f} s"),
            ("runs submitted", str(self.submitted)),
            ("runs ended", ", ".join(f"{n} {status}" for status, n in sorted(self.statuses.items()))),
            ("runs lost", str(lost)),
            ("pull requests", f"{self.pull_requests} for {self.should_have_pull_requests} runs that must have one"),
            ("checked", ", ".join(f"{n} {what}" for what, n in self.checked.items())),
        ]


def table(report: Report) -> str:
    """The report for people: figures, then each invariant, then what is not true."""
    rows = report.rows()
    for name in sorted({*INVARIANTS, *(each.invariant for each in report.violations)}):
        found = [each for each in report.violations if each.invariant == name]
        rows.append((name, "yes" if not found else f"NO, {len(found)} found"))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    lines += [f"  {each.invariant}: {each.subject}: {each.found}" for each in report.violations]
    return "\n".join(lines)


def times(values: Sequence[float]) -> str:
    """Median and p99 of times."""
    if not values:
        return "not measured"
    return f"median {quantile(values, 0.5):.2f} s, p99 {quantile(values, 0.99):.2f} s, {len(values)} times"


def json_of(report: Report) -> str:
    """The report as JSON."""
    return json.dumps({**report.__dict__, "violations": [v._asdict() for v in report.violations]}, indent=1)


def stop_early(stopped: threading.Event, say: Callable[[str], None]) -> None:
    """Let SIGINT end the faults, also where the shell that started this ignores it."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        say("No more faults; the check follows.")
        stopped.set()

    signal.signal(signal.SIGINT, stop)
