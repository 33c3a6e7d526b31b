"""Times short commands as whole processes: what a user waits for in the shell.

Usage: python tests/bench/start.py [--times 20] [--beside CHECKOUT]

Each round starts every command once, with this checkout and with the other one in turn. `python -c pass` is what no
command can be faster than. Wall and processor time are medians, in milliseconds. Both checkouts read the same data
folders, which this one makes, so the other must have the same tables.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from moonmind_appliance.store import Store
from tests.typical_runs import store_runs

ROOT = Path(__file__).parents[2]
RUNS = 1000
# As the installed command does; `-P` keeps the working folder out of the search for modules.
PYTHON = [sys.executable, "-P", "-c"]
PROGRAM = "from moonmind_appliance.cli import main; main()"


class Cost(NamedTuple):
    """Milliseconds of one process, or the medians of several."""

    wall: float
    cpu: float


def cost(command: list[str], environment: dict[str, str]) -> Cost:
    """Run the command to its end; it must succeed."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}.")
    return Cost(wall * 1000, (used.ru_utime + used.ru_stime) * 1000)


def make_folders(folder: Path) -> dict[int, Path]:
    """A data folder without runs and one with `RUNS`, by the number of runs."""
    made = {count: folder / f"{count}-runs" for count in (0, RUNS)}
    for count, path in made.items():
        store = Store.open(path)
        store_runs(store, count)
        store.close()
    return made


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description="Times short commands as whole processes.")
    parser.add_argument("--times", type=int, default=20, metavar="N", help="how often each command is started")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another checkout, to compare with")
    given = parser.parse_args()
    checkouts = [ROOT] if given.beside is None else [ROOT, given.beside.resolve()]

    with tempfile.TemporaryDirectory() as temporary:
        folders = make_folders(Path(temporary))
        commands = {
            "--help": (["--help"], 0),
            "version": (["version"], 0),
            "settings": (["settings"], 0),
            "runs list, no runs": (["runs", "list"], 0),
            f"runs list, {RUNS} runs": (["runs", "list"], RUNS),
            "runs show": (["runs", "show", "latest"], RUNS),
            "shards": (["shards"], RUNS),
        }
        environment = {"HOME": temporary, "PATH": os.environ["PATH"], "MOONMIND_ENV_FILE": os.devnull}
        environment |= {name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ}
        found: defaultdict[tuple[str, Path], list[Cost]] = defaultdict(list)
        # The first round fills the file cache and writes the bytecode; it is not counted.
        for number in range(given.times + 1):
            for checkout in checkouts if number % 2 else reversed(checkouts):
                with_code = environment | {"PYTHONPATH": str(checkout)}
                measured = {"python -c pass": cost([*PYTHON, "pass"], with_code)}
                for name, (arguments, runs) in commands.items():
                    data = {"MOONMIND_DATA_DIR": str(folders[runs])}
                    measured[name] = cost([*PYTHON, PROGRAM, *arguments], with_code | data)
                for name, one in measured.items() if number else ():
                    found[name, checkout].append(one)

    heading = f"{'':22}" + "".join(f"{kind:>16}" for _ in checkouts for kind in ("wall ms", "processor ms"))
    print(f"{'':22}" + "".join(f"{checkout.name:>32}" for checkout in checkouts))
    print(heading)
    for name in dict.fromkeys(name for name, _ in found):
        line = f"{name:22}"
        for checkout in checkouts:
            costs = found[name, checkout]
            line += f"{statistics.median(each.wall for each in costs):16.0f}"
            line += f"{statistics.median(each.cpu for each in costs):16.0f}"
        print(line)


if __name__ == "__main__":
    main()
