"""The checks: the findings of `doctor`, one by one, and whether the appliance is ready for runs."""

import threading
from datetime import datetime, timedelta

from rich.text import Text
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import Static

from moonmind_appliance.checks import Finding
from tui.check_lines import check_lines, head_text, service_text
from tui.keys import Where, bindings
from tui.screens.page import Page
from tui.static import update
from tui.text_lines import TextLines

_OLD_AFTER = timedelta(seconds=10)


class ChecksScreen(Page):
    """Runs all checks when it is first shown and on a key; it shows continuously whether the service is ready."""

    WHERE = Where.CHECKS
    MODE = "checks"
    BINDINGS = bindings(Where.CHECKS)
    AUTO_FOCUS = "#findings"
    CSS_PATH = "checks.tcss"

    class Found(Message):
        """A check has ended; None: all have."""

        def __init__(self, finding: Finding | None) -> None:
            super().__init__()
            self.finding = finding

    class Broke(Message):
        """A check ended with a defect."""

        def __init__(self, error: Exception) -> None:
            super().__init__()
            self.error = error

    def __init__(self) -> None:
        super().__init__()
        self._findings: list[Finding] | None = None
        self._earlier: list[Finding] = []
        self._checking = False
        self._at: datetime | None = None

    def body(self) -> ComposeResult:
        """A line for the overall result, then the findings."""
        yield Static("", id="head", markup=False)
        yield TextLines(id="findings")

    def on_mount(self) -> None:
        """Run all checks."""
        super().on_mount()
        self.action_again()

    def on_screen_resume(self) -> None:
        """Run the checks again if the findings are old: a login may have changed."""
        super().on_screen_resume()
        self.tui.check_serve()
        if self._at is not None and self.tui.now() - self._at >= _OLD_AFTER and not self._checking:
            self.action_again()

    def action_again(self) -> None:
        """Run all checks, unless they are running."""
        if self._checking:
            self.show_message("The checks are running.")
            return
        self._checking = True
        self._earlier, self._findings = self._findings or [], []
        # A thread of its own: the network may be slow.
        threading.Thread(target=self._check, name="tui-checks", daemon=True).start()
        self._show()

    def _check(self) -> None:
        try:
            for finding in self.tui.checks(self.tui.settings, self.tui.resources):
                if not self.post_message(self.Found(finding)):
                    return
        except Exception as error:  # noqa: BLE001 - raised again in the loop, which ends the interface with one message
            self.post_message(self.Broke(error))
        else:
            self.post_message(self.Found(None))

    def on_checks_screen_found(self, message: "ChecksScreen.Found") -> None:
        """Show the findings so far."""
        if message.finding is None:
            self._checking, self._at, self._earlier = False, self.tui.now(), []
        elif self._findings is not None:
            self._findings.append(message.finding)
        self._show()

    def on_checks_screen_broke(self, message: "ChecksScreen.Broke") -> None:
        """Raise the defect in the loop."""
        raise message.error

    def serve_changed(self) -> None:
        """Show the new state of the service."""
        self._show()

    def _show(self) -> None:
        """Repaint only what changed. While the checks run, earlier findings stay until new ones replace them."""
        found = self._findings or []
        names = {finding.check for finding in found}
        shown = found + [finding for finding in self._earlier if finding.check not in names]
        palette, now = self.tui.palette, self.tui.now()
        status = head_text(None if self._findings is None else shown, running=self._checking, at=self._at, now=now)
        head = Text.assemble(("Checks", "bold"), "  ", (status, palette.muted), "\n")
        head.append_text(service_text(self.tui.serve_state, palette))
        update(self.query_one("#head", Static), head)
        self.query_one("#findings", TextLines).show(lambda width: check_lines(shown, self.tui.palette, width))
