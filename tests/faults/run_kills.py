"""The command `tests/faults/run`: kill the appliance by a schedule from a seed, and print what was found.

Ctrl-C ends the kills early; the check at the end follows, with what was done so far.
"""

import argparse
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from tests.faults.figures import quantile
from tests.faults.invariants import INVARIANTS
from tests.faults.kills import Report, harness, json_of


def main() -> int:
    """0: every invariant is true. 1: one is not."""
    parser = argparse.ArgumentParser(prog="tests/faults/run", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="how many kills (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="the schedule; the same seed gives the same one")
    parser.add_argument("--shards", type=int, default=3, help="shards, each with its own login (default: 3)")
    parser.add_argument(
        "--think", type=float, default=0.0, help="seconds that the stand-in model waits before an answer"
    )
    parser.add_argument(
        "--retention", default="2m", help="ARTIFACT_RETENTION, so that retention works, too (default: 2m)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--folder", type=Path, help="where the log stays (default: a new temporary folder)")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="moonmind-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    say = (lambda _line: None) if chosen.json else (lambda line: print(line, flush=True))
    say(f"The appliance's log: {folder / 'serve.log'}")
    report = harness(
        folder,
        seed=chosen.seed,
        count=chosen.kills,
        shards=chosen.shards,
        think=chosen.think,
        retention=chosen.retention,
        say=say,
        on_start=lambda stopped: stop_early(stopped, say),
    )
    print(json_of(report) if chosen.json else table(report))
    return 1 if report.violations else 0


def stop_early(stopped: threading.Event, say: Callable[[str], None]) -> None:
    """Let SIGINT end the kills, also where the shell that started this ignores it."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        say("No more kills; the check follows.")
        stopped.set()

    signal.signal(signal.SIGINT, stop)


def table(report: Report) -> str:
    """The report for people."""
    lost = sum(1 for each in report.violations if each.invariant == "no run is lost")
    per_run = f"{report.pull_requests} for {report.should_have_pull_requests} runs that must have one"
    rows = [
        ("seed, shards", f"{report.seed}, {report.shards}"),
        (
            "kills",
            f"{sum(report.kills.values())}: " + ", ".join(f"{n} {how}" for how, n in sorted(report.kills.items())),
        ),
        ("named points reached", f"{len(report.reached)} of {report.points}"),
        ("tried and not reached", "; ".join(report.missed) or "none"),
        ("duration", f"{report.seconds:.0f} s"),
        ("runs submitted", str(report.submitted)),
        ("runs ended", ", ".join(f"{n} {status}" for status, n in sorted(report.statuses.items()))),
        ("runs lost", str(lost)),
        ("executions cut off", f"{report.interrupted}; at most {report.most_interruptions} in a row without progress"),
        ("pull requests", per_run),
        ("checked", ", ".join(f"{n} {what}" for what, n in report.checked.items())),
        ("start until the API answers", _times(report.api_answers)),
        ("start until a cut off run runs again", _times(report.runs_again)),
    ]
    for name in sorted({*INVARIANTS, *(each.invariant for each in report.violations)}):
        found = [each for each in report.violations if each.invariant == name]
        rows.append((name, "yes" if not found else f"NO, {len(found)} found"))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    lines += [f"  {each.invariant}: {each.subject}: {each.found}" for each in report.violations]
    return "\n".join(lines)


def _times(values: list[float]) -> str:
    if not values:
        return "not measured"
    return f"median {quantile(values, 0.5):.2f} s, p99 {quantile(values, 0.99):.2f} s, {len(values)} times"


if __name__ == "__main__":
    sys.exit(main())
