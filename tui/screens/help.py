"""The help screen: every key, the signs, the exit codes, and copying."""

from rich.text import Text
from textual.app import ComposeResult

from tui.help_text import help_lines
from tui.keys import Where, bindings
from tui.screens.page import Page
from tui.text_lines import TextLines


class HelpScreen(Page):
    """Every key; those of the screen below come first."""

    WHERE = Where.HELP
    BINDINGS = bindings(Where.HELP)
    AUTO_FOCUS = "#help"

    def __init__(self, first: Where | None = None) -> None:
        super().__init__()
        self._first = first

    def body(self) -> ComposeResult:
        """The lines."""
        yield TextLines(id="help")

    def read(self) -> None:
        """Read nothing: the help does not depend on the database."""
        self.query_one("#help", TextLines).show(self._lines)

    def _lines(self, width: int) -> list[Text]:
        return help_lines(self.tui.palette, width, self._first, self.tui.exit_codes)

    def action_back(self) -> None:
        """Close."""
        self.dismiss()
