"""What schedules of faults have in common: their options on the command line, and how their report is printed."""

import argparse
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.report import Report, json_of, stop_early, table


@dataclass(frozen=True, kw_only=True)
class Options:
    """A schedule: `count` faults. The log stays in `folder`; `on_start` gets an event that ends the schedule early."""

    folder: Path
    seed: int
    count: int
    shards: int
    think: float
    retention: str
    login_broker: bool = False
    say: Callable[[str], None] = lambda _line: None
    on_start: Callable[[threading.Event], None] = lambda _stopped: None


def run(harness: Callable[[Options], Report], *, prog: str, faults: str, think: float, description: str | None) -> int:
    """Read the command line, run the schedule and print its report. 0: every invariant is true. 1: one is not."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument(f"--{faults}", dest="count", type=int, default=20, help=f"how many {faults} (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="the schedule; the same seed gives the same one")
    parser.add_argument("--shards", type=int, default=3, help="shards, each with its own login (default: 3)")
    parser.add_argument(
        "--think",
        type=float,
        default=think,
        help=f"seconds that the stand-in model waits before an answer (default: {think:g})",
    )
    parser.add_argument(
        "--retention", default="2m", help="ARTIFACT_RETENTION, so that retention works, too (default: 2m)"
    )
    parser.add_argument("--login-broker", action="store_true", help="with LOGIN_BROKER=true")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--folder", type=Path, help="where the log stays (default: a new temporary folder)")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix=f"moonmind-{faults}-"))
    folder.mkdir(parents=True, exist_ok=True)
    say = (lambda _line: None) if chosen.json else (lambda line: print(line, flush=True))
    say(f"The appliance's log: {folder / 'serve.log'}")
    options = Options(
        folder=folder,
        seed=chosen.seed,
        count=chosen.count,
        shards=chosen.shards,
        think=chosen.think,
        retention=chosen.retention,
        login_broker=chosen.login_broker,
        say=say,
        on_start=lambda stopped: stop_early(stopped, say),
    )
    report = harness(options)
    print(json_of(report) if chosen.json else table(report))
    return 1 if report.violations else 0
