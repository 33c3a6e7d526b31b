"""Progress of the nine phases: a table that is redrawn on a terminal, or a line per change elsewhere."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from moonmind_appliance.cli.terminal import MARKS, STYLES, line
from moonmind_appliance.models import PHASE_ORDER, PhaseStatus
from moonmind_appliance.units import duration

_GOING = frozenset({PhaseStatus.RUNNING.value, PhaseStatus.RETRYING.value})
_DONE = frozenset({PhaseStatus.SUCCEEDED.value, PhaseStatus.FAILED.value, PhaseStatus.SKIPPED.value})


@dataclass
class _Row:
    status: str = PhaseStatus.PENDING.value
    attempt: int = 0
    since: float | None = None
    seconds: float | None = None


class PhaseBoard:
    """Shows phases; call `live` to show it, `phase` and `headline` to update it. `clock` is monotonic seconds.

    On a terminal the board is redrawn in place; elsewhere each change is one line.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._began = clock()
        self._rows = {name.value: _Row() for name in PHASE_ORDER}
        self._headline = ""
        self.shown = False
        self._spinner = Spinner("dots", style="cyan")

    def live(self) -> AbstractContextManager[Any]:
        """While this is open, the board is shown; from then on `shown` is True."""
        self.shown = True
        if not self._console.is_terminal:
            return nullcontext()
        return Live(self, console=self._console, refresh_per_second=10)

    def phase(
        self, name: str, status: str, attempt: int = 1, seconds: float | None = None, *, is_news: bool = True
    ) -> None:
        """Set a phase's state; `seconds` is how long it took, or has run so far. Only changes are printed.

        Without `is_news` the state is from before the board was created: it is shown, but not printed as a line.
        """
        row = self._rows.get(name)
        if row is None or (row.status, row.attempt) == (status, attempt):
            return
        now = self._clock()
        if status in _GOING and row.status not in _GOING:
            row.since = now - (seconds or 0.0)
        if status in _DONE:
            row.seconds = seconds if seconds is not None else (None if row.since is None else now - row.since)
        row.status, row.attempt = status, attempt
        if is_news and not self._console.is_terminal and status != PhaseStatus.PENDING.value:
            again = f" (attempt {attempt})" if attempt > 1 else ""
            took = f" in {duration(row.seconds)}" if status in _DONE and row.seconds is not None else ""
            self.print_line(f"{name} {status}{again}{took}")

    def headline(self, text: str) -> None:
        """Set the state of the whole run; it is printed when it changes."""
        text = line(text)
        if text != self._headline:
            self._headline = text
            if text and not self._console.is_terminal:
                self.print_line(text)

    def print_line(self, text: str) -> None:
        """Print a permanent line, with the seconds since the board was created."""
        shown = Text(f"{self._clock() - self._began:7.1f} s  ", "dim")
        shown.append(line(text), "not dim")
        self._console.print(shown, soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The board: a row per phase, and the headline below them."""
        now = self._clock()
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=1)
        grid.add_column(min_width=20, no_wrap=True)
        grid.add_column(justify="right", min_width=9, no_wrap=True)
        grid.add_column(no_wrap=True)
        for name, row in self._rows.items():
            style = STYLES.get(row.status, "")
            going = row.status == PhaseStatus.RUNNING.value
            mark = self._spinner if going else Text(MARKS.get(row.status, "?"), style)
            seconds = now - row.since if row.status in _GOING and row.since is not None else row.seconds
            status = "" if row.status in {"pending", "succeeded", "running"} else row.status
            again = f"attempt {row.attempt}" if row.attempt > 1 else ""
            grid.add_row(
                mark,
                Text(name, "dim" if row.status in {"pending", "skipped"} else ""),
                Text("" if seconds is None else duration(seconds), "dim"),
                Text(" ".join(part for part in (status, again) if part), style),
            )
        yield grid
        if self._headline:
            yield Text(self._headline, "dim", no_wrap=True, overflow="ellipsis")
