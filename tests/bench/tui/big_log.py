"""From a key to the screen in a log of 100 MB, beside the same keys in a log of 1 MB."""

import re
import statistics
from pathlib import Path
from typing import NamedTuple

from tests.bench.tui.data_folder import fill, growing, log_line, store_in
from tests.bench.tui.pseudo_terminal import Shown, Terminal

NEEDLE = "needle"
_LINE = re.compile(r"remote: line (\d{9})")
_SMALL = 1_000_000


class Key(NamedTuple):
    """Milliseconds and bytes of one key in both logs, as medians of the rounds."""

    key: str
    small_ms: float
    big_ms: float
    small_bytes: int
    big_bytes: int


def measure(folder: Path, size: int, rounds: int) -> tuple[list[Key], float, float]:
    """The keys, and the resident MiB with the small and the big log."""
    small, small_memory = _keys(folder / "small-log" / "data", _SMALL, rounds)
    big, big_memory = _keys(folder / "big-log" / "data", size, rounds)
    keys = [
        Key(
            name,
            round(statistics.median(each.milliseconds for each in small[name]), 1),
            round(statistics.median(each.milliseconds for each in big[name]), 1),
            round(statistics.median(each.bytes for each in small[name])),
            round(statistics.median(each.bytes for each in big[name])),
        )
        for name in small
    ]
    return keys, small_memory, big_memory


def _keys(data: Path, size: int, rounds: int) -> tuple[dict[str, list[Shown]], float]:
    lines = size // len(log_line(0))
    with store_in(data) as store:
        fill(store, 10)
        run = growing(store, data, "acme/big")
        with run.log.open("wb") as log:
            for number in range(lines):
                hit = number == lines * 99 // 100
                log.write(log_line(number).replace(b"counting", NEEDLE.encode().ljust(8)) if hit else log_line(number))
    found: dict[str, list[Shown]] = {}
    with Terminal(data) as terminal:
        terminal.shows("acme/big")

        def press(name: str, keys: str, seen) -> None:
            found.setdefault(name, []).append(terminal.measured(keys, seen))

        for _ in range(rounds):
            press("l (open, at the end)", "l", lambda screen: _last(screen) == lines - 1 and _counted(screen, lines))
            press("Home", "g", lambda screen: _first(screen) == 0)
            press("PgDn", "\x1b[6~", lambda screen: _first(screen) > 0)
            press("End", "G", lambda screen: _last(screen) == lines - 1)
            press("Home again", "g", lambda screen: _first(screen) == 0)
            terminal.press(f"/{NEEDLE}")
            terminal.shows(f"find: {NEEDLE}")
            press("search through 99 %", "\r", lambda screen: any(f"{NEEDLE} 1/1" in line for line in screen))
            press("Esc (end of search)", "\x1b", lambda screen: not any(f"find: {NEEDLE}" in line for line in screen))
            terminal.press("\x1b")
            terminal.shows("11 runs")
        memory = terminal.memory_mib
    return found, round(memory, 1)


def _numbers(screen: list[str]) -> list[int]:
    return [int(match[1]) for line in screen if (match := _LINE.search(line))]


def _first(screen: list[str]) -> int:
    return min(_numbers(screen), default=-1)


def _last(screen: list[str]) -> int:
    return max(_numbers(screen), default=-1)


def _counted(screen: list[str], lines: int) -> bool:
    return any(f"of {lines:,}" in line for line in screen)
