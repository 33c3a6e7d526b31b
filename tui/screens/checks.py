"""The checks: what `doctor` finds, as it finds it, and whether the appliance is ready for runs."""

import threading
from datetime import datetime

from rich.text import Text
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import Static

from moonmind_appliance.checks import Finding, readiness, run_checks
from tui.check_lines import check_lines, head_text
from tui.keys import Where, bindings
from tui.screens.page import Page
from tui.static import update
from tui.text_lines import TextLines


class ChecksScreen(Page):
    """Runs all checks when it is first shown and on a key; readiness is looked at all the time."""

    WHERE = Where.CHECKS
    MODE = "checks"
    BINDINGS = bindings(Where.CHECKS)
    AUTO_FOCUS = "#findings"
    CSS_PATH = "checks.tcss"

    class Found(Message):
        """A check was made; None: all were."""

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
        self._running = False
        self._at: datetime | None = None
        self._missing: list[Finding] | None = None

    def body(self) -> ComposeResult:
        """A line for the whole, then the findings."""
        yield Static("", id="head", markup=False)
        yield TextLines(id="findings")

    def on_mount(self) -> None:
        """Run all checks."""
        super().on_mount()
        self.action_again()

    def action_again(self) -> None:
        """Run all checks; one at a time."""
        if self._running:
            self.say("The checks are running.")
            return
        self._running = True
        self._earlier, self._findings = self._findings or [], []
        # A thread of its own: the network may be slow.
        threading.Thread(target=self._check, name="tui-checks", daemon=True).start()
        self._show()

    def _check(self) -> None:
        try:
            for finding in run_checks(self.tui.settings, self.tui.tools):
                if not self.post_message(self.Found(finding)):
                    return
        except Exception as error:  # noqa: BLE001 - raised again in the loop, which ends the interface with one sentence
            self.post_message(self.Broke(error))
        else:
            self.post_message(self.Found(None))

    def on_checks_screen_found(self, message: "ChecksScreen.Found") -> None:
        """Show what was found so far."""
        if message.finding is None:
            self._running, self._at, self._earlier = False, self.tui.now(), []
        elif self._findings is not None:
            self._findings.append(message.finding)
        self._show()

    def on_checks_screen_broke(self, message: "ChecksScreen.Broke") -> None:
        """A defect."""
        raise message.error

    def read(self) -> None:
        """Look whether the appliance is ready."""
        self.ask("ready", lambda: readiness(self.tui.tools), self._looked)

    def _looked(self, findings: list[Finding]) -> None:
        self._missing = [finding for finding in findings if finding.level == "wrong"]
        self._show()

    def tick(self) -> None:
        """Readiness changes without a change of the database, too."""
        self.read()

    def _show(self) -> None:
        """Only what differs is painted. While the checks run, earlier findings stay until they are found anew."""
        found = self._findings or []
        names = {finding.check for finding in found}
        shown = found + [finding for finding in self._earlier if finding.check not in names]
        ready = None if self._missing is None else not self._missing
        palette = self.tui.palette
        words = head_text(
            None if self._findings is None else shown,
            running=self._running,
            at=self._at,
            ready=ready,
            now=self.tui.now(),
        )
        if self._missing:
            words += f" Missing: {', '.join(finding.check for finding in self._missing)}."
        text = Text.assemble(
            ("Checks", "bold"), "  ", (words, palette.muted if ready is not False else palette.waiting)
        )
        update(self.query_one("#head", Static), text)
        self.query_one("#findings", TextLines).show(lambda width: check_lines(shown, self.tui.palette, width))
