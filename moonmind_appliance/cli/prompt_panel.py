"""What a person has to do in a browser: address, code, QR code, and how much time is left."""

import io
import time
from types import TracebackType
from typing import NamedTuple, Self

import segno
from rich.align import Align
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.text import Text

from moonmind_appliance.cli.terminal import clean

_QUIET_ZONE = 2
_MINUTE = 60


class Prompt(NamedTuple):
    """`complete` is the address for the QR code, with the code in it where there is one; `ends` is monotonic."""

    title: str
    address: str
    complete: str
    code: str
    ends: float


class PromptPanel:
    """Shows a prompt while it is open: a living panel on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, prompt: Prompt) -> None:
        self._console = console
        self._prompt = prompt
        self._spinner = Spinner("dots", style="cyan")
        self._live: Live | None = None
        self.waits_for = "Waiting until it is confirmed"

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(self, console=self._console, refresh_per_second=5)
            self._live.start()
        else:
            minutes = max(1, round((self._prompt.ends - time.monotonic()) / _MINUTE))
            self._console.print(
                clean(
                    f"{self._prompt.title}: open {self._prompt.address} and type the code {self._prompt.code} "
                    f"(good for {minutes} minutes)."
                ),
                soft_wrap=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The panel."""
        left = max(0, int(self._prompt.ends - time.monotonic()))
        self._spinner.update(text=Text(f"{self.waits_for}, {left // _MINUTE}:{left % _MINUTE:02d} left", "dim"))
        parts: list[RenderableType] = [
            Text.assemble("1. Open  ", (clean(self._prompt.address), "bold cyan underline")),
            Text.assemble("2. Type  ", (clean(self._prompt.code), "bold reverse")),
            Text(),
        ]
        code = qr_code(self._prompt.complete)
        if code.cell_len and options.max_width > max(map(len, code.plain.splitlines())) + 4:
            parts += [Align.center(code), Text()]
        parts.append(self._spinner)
        yield Panel(Group(*parts), title=clean(self._prompt.title), border_style="cyan", padding=(1, 2))


def qr_code(address: str) -> Text:
    """The address as a QR code of half blocks, dark on light whatever the terminal's colours."""
    drawn = io.StringIO()
    segno.make(address, error="l", micro=False).terminal(drawn, compact=True, border=_QUIET_ZONE)
    return Text(drawn.getvalue().rstrip("\n"), "#ffffff on #000000")
