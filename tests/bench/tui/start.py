"""From the start of the command to the first table, with few runs and with many, in alternating rounds."""

import statistics
from pathlib import Path
from typing import NamedTuple

from tests.bench.tui.data_folder import fill, store_in
from tests.bench.tui.pseudo_terminal import Terminal


class Started(NamedTuple):
    """Seconds from the start of the process to the first rows on the screen, Python's own start included.

    `cpu_s`: the median of what the process used until it was at rest; other programs of the machine change it less.
    """

    runs: int
    median_s: float
    fastest_s: float
    cpu_s: float
    memory_mib: float


def measure(folder: Path, few: int, many: int, rounds: int) -> list[Started]:
    """Both are started once before, so that files are in the cache."""
    counts = (few, many)
    data = {count: folder / f"start-{count}" / "data" for count in counts}
    for count, path in data.items():
        with store_in(path) as store:
            fill(store, count)
    seconds: dict[int, list[float]] = {count: [] for count in counts}
    cpu: dict[int, list[float]] = {count: [] for count in counts}
    memory: dict[int, float] = {}
    for _ in range(rounds + 1):
        for count in counts:
            with Terminal(data[count]) as terminal:
                at = terminal.shows("acme/shop-0 ")
                terminal.shows(f"{count:,} runs")
                seconds[count].append(at - terminal.began)
                terminal.rest()
                cpu[count].append(terminal.cpu_seconds)
                memory[count] = terminal.memory_mib
    return [
        Started(
            count,
            round(statistics.median(seconds[count][1:]), 3),
            round(min(seconds[count][1:]), 3),
            round(statistics.median(cpu[count][1:]), 2),
            round(memory[count], 1),
        )
        for count in counts
    ]
