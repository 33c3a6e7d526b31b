"""What the user has to do in a browser: address, code, QR code, and the time left."""

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
_FRAME = 6
_OTHER_LINES = 9


class Prompt(NamedTuple):
    """`complete` is the address for the QR code, with the user code in it if possible; `ends` is monotonic seconds."""

    title: str
    address: str
    complete: str
    code: str
    ends: float


class PromptPanel:
    """Shows a prompt while it is open: a panel that is redrawn on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, prompt: Prompt) -> None:
        self._console = console
        self._prompt = prompt
        self._spinner = Spinner("dots", style="cyan")
        self._live: Live | None = None
        self.waits_for = "Waiting for confirmation"

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            if not self._prompt.code:
                # Too long for a line of the panel: above it the address can be copied in one piece.
                self._console.print(clean(self._prompt.address), style="bold cyan", soft_wrap=True)
            self._live = Live(self, console=self._console, refresh_per_second=5, transient=True)
            self._live.start()
        else:
            minutes = max(1, round((self._prompt.ends - time.monotonic()) / _MINUTE))
            type_it = f" and enter the code {self._prompt.code}" if self._prompt.code else ""
            self._console.print(
                clean(f"{self._prompt.title}: open {self._prompt.address}{type_it} (valid for {minutes} minutes)."),
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
        parts: list[RenderableType] = [Text("Open the address above in a browser on this machine.")]
        if self._prompt.code:
            parts = [Text.assemble("1. Open  ", (clean(self._prompt.address), "bold cyan underline"), overflow="fold")]
            parts.append(Text.assemble("2. Enter ", (clean(self._prompt.code), "bold reverse")))
            parts += self._qr_code(options)
        parts += [Text(), self._spinner]
        yield Panel(Group(*parts), title=clean(self._prompt.title), border_style="cyan", padding=(1, 2))

    def _qr_code(self, options: ConsoleOptions) -> list[RenderableType]:
        """The QR code, if it fits. An address without a user code leads to this machine: a phone cannot use it."""
        code = qr_code(self._prompt.complete)
        rows = code.plain.splitlines()
        if options.max_width < len(rows[0]) + _FRAME or options.size.height < len(rows) + _OTHER_LINES:
            return []
        return [Text(), Align.center(code)]


def qr_code(address: str) -> Text:
    """The address as a QR code of half blocks, dark on light in every terminal theme."""
    drawn = io.StringIO()
    segno.make(address, error="l", micro=False).terminal(drawn, compact=True, border=_QUIET_ZONE)
    return Text(drawn.getvalue().rstrip("\n"), "#ffffff on #000000")
