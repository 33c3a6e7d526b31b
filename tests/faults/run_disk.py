"""The command `tests/faults/run disk`: fill the data folder's disk by a schedule from a seed, and print what was found.

The data folder is a small disk of its own, which needs root. Ctrl-C ends the schedule early; the check at the end
follows, with what was done so far.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.fills import harness
from tests.faults.report import json_of, stop_early, table
from tests.faults.small_disk import NeedsRoot


def main() -> int:
    """0: every invariant is true. 1: one is not. 2: the small disk cannot be mounted."""
    parser = argparse.ArgumentParser(prog="tests/faults/run disk", description=__doc__)
    parser.add_argument("--fills", type=int, default=20, help="how often the disk is full (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="the schedule; the same seed gives the same one")
    parser.add_argument("--shards", type=int, default=3, help="shards, each with its own login (default: 3)")
    parser.add_argument(
        "--think", type=float, default=0.5, help="seconds that the stand-in model waits before an answer (default: 0.5)"
    )
    parser.add_argument(
        "--retention", default="2m", help="ARTIFACT_RETENTION, so that retention works, too (default: 2m)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--folder", type=Path, help="where the log stays (default: a new temporary folder)")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="moonmind-disk-"))
    folder.mkdir(parents=True, exist_ok=True)
    say = (lambda _line: None) if chosen.json else (lambda line: print(line, flush=True))
    say(f"The appliance's log: {folder / 'serve.log'}")
    try:
        report = harness(
            folder,
            seed=chosen.seed,
            count=chosen.fills,
            shards=chosen.shards,
            think=chosen.think,
            retention=chosen.retention,
            say=say,
            on_start=lambda stopped: stop_early(stopped, say),
        )
    except NeedsRoot as error:
        print(f"tests/faults/run disk: {error}", file=sys.stderr)
        return 2
    print(json_of(report) if chosen.json else table(report))
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
