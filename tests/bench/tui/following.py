"""Bytes, time and memory of following the log of a run that writes, slowly and fast."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from moonmind_appliance.models import PhaseName
from tests.bench.tui.data_folder import Growing, codex_event, fill, growing, log_line, store_in
from tests.bench.tui.pseudo_terminal import Terminal


class Source(NamedTuple):
    """What is written: so many lines a second, into that phase's log."""

    name: str
    phase: PhaseName
    line: Callable[[int], bytes]
    rate: int


EVENTS = Source("2 Codex events a second", PhaseName.SPECKIT_SPECIFY, codex_event, 2)
LINES = Source("10,000 lines a second", PhaseName.GIT_CLONE, log_line, 10_000)


class Followed(NamedTuple):
    """In so many seconds of following. Bytes are those to the terminal; `rest_bytes` in 10 s after the log ended."""

    log: str
    log_bytes: int
    bytes: int
    cpu_percent: float
    before_mib: float
    most_mib: float
    after_mib: float
    rest_bytes: int


def measure(folder: Path, seconds: float) -> list[Followed]:
    """Two Codex events a second, as an agent writes them; then 10,000 plain lines a second."""
    return [
        _follow(folder / "events" / "data", EVENTS, seconds),
        _follow(folder / "lines" / "data", LINES, seconds),
    ]


def _follow(data: Path, source: Source, seconds: float) -> Followed:
    with store_in(data) as store:
        fill(store, 10)
        run = growing(store, data, "acme/grows", source.phase)
        run.log.write_bytes(source.line(0))
    stop = threading.Event()
    with Terminal(data) as terminal:
        terminal.shows("acme/grows")
        terminal.press("l")
        terminal.shows("follow on")
        terminal.rest(2)
        before, cpu, memory = terminal.bytes_written, terminal.cpu_seconds, terminal.memory_mib
        most, log_before = memory, run.log.stat().st_size
        writer = threading.Thread(target=_write, args=(run, source, stop), daemon=True)
        writer.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.25)
            most = max(most, terminal.memory_mib)
        stop.set()
        writer.join()
        used, written = terminal.cpu_seconds - cpu, terminal.bytes_written - before
        log_bytes = run.log.stat().st_size - log_before
        if source is LINES:
            # The end of the log is on the screen soon after.
            last = log_bytes // len(log_line(0))
            terminal.shows(f"remote: line {last:09}", seconds=30)
        terminal.rest(2)
        at_rest = terminal.bytes_written
        time.sleep(10)
        return Followed(
            source.name,
            log_bytes,
            written,
            round(used / seconds * 100, 1),
            round(memory, 1),
            round(most, 1),
            round(terminal.memory_mib, 1),
            terminal.bytes_written - at_rest,
        )


def _write(run: Growing, source: Source, stop: threading.Event) -> None:
    """So many lines a second, in portions of a tenth of a second; catches up if it was kept waiting."""
    begun, written = time.monotonic(), 0
    with run.log.open("ab", buffering=0) as log:
        while not stop.wait(0.1):
            due = int((time.monotonic() - begun) * source.rate)
            if due > written:
                log.write(b"".join(source.line(number) for number in range(written + 1, due + 1)))
                written = due
