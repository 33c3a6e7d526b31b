"""What the terminal interface costs, on a real pseudo-terminal and a data folder that is made for it.

Usage: python tests/bench/tui [start log idle follow together] [--seconds 60] [--together-seconds 600] [--json]

Without names all are measured, one after the other. Every figure has something beside it from the same run: few runs
beside many, a small log beside a big one, writes without terminals beside writes with two.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.tui import big_log, following, idle, start, together

NAMES = ("start", "log", "idle", "follow", "together")


def main() -> None:
    parser = argparse.ArgumentParser(prog="tui", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"of {', '.join(NAMES)} (all)")
    parser.add_argument("--rounds", type=int, default=7, help="of start and log (7)")
    parser.add_argument("--runs", type=int, default=10_000, help="many runs, in start (10,000)")
    parser.add_argument("--log-bytes", type=int, default=100_000_000, help="of the big log (100,000,000)")
    parser.add_argument("--seconds", type=float, default=60, help="of idling and of following (60)")
    parser.add_argument("--together-seconds", type=float, default=600, help="of two terminals and serve (600)")
    parser.add_argument("--folder", type=Path, help="where the data folders are made: the disk to measure")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if unknown := sorted(set(options.what) - set(NAMES)):
        parser.error(f"unknown: {', '.join(unknown)}")
    wanted = options.what or NAMES
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        for name in [each for each in NAMES if each in wanted]:
            load = os.getloadavg()[0]
            found[name] = _measured(name, Path(made), options) | {"load_before": round(load, 1)}
            if not options.json:
                _show(name, found[name])
    if options.json:
        print(json.dumps(found))


def _measured(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    match name:
        case "start":
            few, many = start.measure(folder, 10, options.runs, options.rounds)
            return {
                "rows": [few._asdict(), many._asdict()],
                "ratio_median": round(many.median_s / few.median_s, 2),
                "ratio_fastest": round(many.fastest_s / few.fastest_s, 2),
                "ratio_cpu": round(many.cpu_s / few.cpu_s, 2),
            }
        case "log":
            keys, small, big = big_log.measure(folder, options.log_bytes, options.rounds)
            rows = [key._asdict() | {"ratio": round(key.big_ms / key.small_ms, 2)} for key in keys]
            return {"rows": rows, "small_memory_mib": small, "big_memory_mib": big}
        case "idle":
            return {"rows": [each._asdict() for each in idle.measure(folder, options.seconds)]}
        case "follow":
            rows = [
                each._asdict() | {"bytes_to_log_bytes": round(each.bytes / each.log_bytes, 3)}
                for each in following.measure(folder, options.seconds)
            ]
            return {"rows": rows}
        case _:
            figures = together.measure(folder, options.together_seconds)
            return {"rows": [{"what": key, "figure": value} for key, value in figures._asdict().items()]}


def _show(name: str, figures: dict[str, Any]) -> None:
    print(f"\n{name}, load before {figures['load_before']}")
    rows: Sequence[dict[str, Any]] = figures["rows"]
    head = list(rows[0])
    cells = [head, *([_cell(row[column]) for column in head] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    for line in cells:
        first = line[0].ljust(widths[0])
        print(" ".join([first, *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]))
    for key, value in figures.items():
        if key not in {"rows", "load_before"}:
            print(f"{key}: {value}")
    sys.stdout.flush()


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    main()
