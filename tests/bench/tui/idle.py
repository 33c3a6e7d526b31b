"""Bytes that each screen writes to the terminal while nothing changes; each in a terminal of its own, at once."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from moonmind_appliance.models import PhaseName
from moonmind_appliance.store import Store
from tests.bench.tui.data_folder import codex_event, fill, growing, new_run, store_in
from tests.bench.tui.pseudo_terminal import Terminal

SIGN_IN = [sys.executable, str(Path(__file__).with_name("sign_in.py"))]


class Idle(NamedTuple):
    """In so many seconds of idling: bytes, and per cent of one core. `first`: bytes until the screen was there."""

    screen: str
    first: int
    bytes: int
    cpu_percent: float


def _runs(terminal: Terminal) -> None:
    terminal.shows("acme/shop-0 ")


def _run(terminal: Terminal) -> None:
    _runs(terminal)
    terminal.press("l")
    terminal.shows("sed -n")


def _search(terminal: Terminal) -> None:
    _run(terminal)
    terminal.press("/basket")
    terminal.shows("find: basket")


def _typing(key: str, text: str) -> Callable[[Terminal], None]:
    def go(terminal: Terminal) -> None:
        _runs(terminal)
        terminal.press(key)
        terminal.shows(text)

    return go


def _filter(terminal: Terminal) -> None:
    _runs(terminal)
    terminal.press("/shop-7")
    terminal.shows("shop-7")


def _question(terminal: Terminal) -> None:
    _runs(terminal)
    terminal.press("x")
    terminal.shows("No (n)")


def _checks(terminal: Terminal) -> None:
    _runs(terminal)
    terminal.press("3")
    terminal.shows(", checked ", seconds=180)


def _sign_in(terminal: Terminal) -> None:
    terminal.shows("Press n to submit one.")
    terminal.press("2")
    terminal.shows("Sign in")
    terminal.press("i")
    terminal.shows("J7WH-F5B4Q")


SCREENS: dict[str, Callable[[Terminal], None]] = {
    "runs": _runs,
    "runs, filter with the focus": _filter,
    "question": _question,
    "run with its log": _run,
    "run, search line": _search,
    "new run": _typing("n", "Repository"),
    "shards": _typing("2", "shard"),
    "sign-in (engine without Docker, clock stopped)": _sign_in,
    "checks": _checks,
    "help": _typing("?", "Everywhere"),
    "palette": _typing(":", "Search"),
}


def measure(folder: Path, seconds: float) -> list[Idle]:
    """The run in progress began two hours ago: its age is not counted in seconds any more."""
    data = folder / "idle" / "data"
    with store_in(data) as store:
        fill(store, 100)
        run = growing(store, data, "acme/busy", PhaseName.SPECKIT_SPECIFY)
        run.log.write_bytes(b"".join(codex_event(number) for number in range(500)))
        new_run(store, "acme/queued")
        _age(store)
    with ExitStack() as stack:
        terminals = {}
        for name, go in SCREENS.items():
            own = folder / f"idle-{len(terminals)}" / "data"
            sign_in = go is _sign_in
            terminals[name] = stack.enter_context(
                Terminal(own if sign_in else data, [*SIGN_IN, str(own)] if sign_in else None)
            )
            go(terminals[name])
        for terminal in terminals.values():
            terminal.rest(3)
        before = {name: (terminal.bytes_written, terminal.cpu_seconds) for name, terminal in terminals.items()}
        time.sleep(seconds)
        return [
            Idle(
                name,
                before[name][0],
                terminal.bytes_written - before[name][0],
                round((terminal.cpu_seconds - before[name][1]) / seconds * 100, 2),
            )
            for name, terminal in terminals.items()
        ]


def _age(store: Store) -> None:
    at = (datetime.now(UTC) - timedelta(hours=2, minutes=30)).isoformat()
    with store.database.write() as connection:
        connection.execute("UPDATE runs SET accepted_at = ?, started_at = ? WHERE completed_at IS NULL", (at, at))
        connection.execute("UPDATE phases SET started_at = ? WHERE status = 'running'", (at,))
