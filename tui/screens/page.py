"""The base of all screens: the top line, the message line, the footer, and requests for data."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, Static, TextArea

from moonmind_appliance.errors import ApplianceError, RequestError
from moonmind_appliance.views.changes import Change
from tui.footer import KeyFooter
from tui.keys import Where, blocked_while_typing
from tui.screens.confirm import Confirm
from tui.text import clean
from tui.top_line import TopLine

if TYPE_CHECKING:
    from tui.app import TerminalApp

T = TypeVar("T")


class Page(Screen[None]):
    """A screen of the interface.

    A subclass sets `WHERE` and `MODE`, and gives `body`. `read` requests the data; it is called when the page is
    shown and after each change of the database. Data arrive in callbacks, so no method here blocks.
    """

    WHERE: ClassVar[Where] = Where.EVERYWHERE
    MODE: ClassVar[str] = ""
    """The numbered screen that this page belongs to."""
    VERTICAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-h24"), (32, "-h32")]  # noqa: RUF012 - as in Screen
    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-w60"), (80, "-w80"), (120, "-w120"), (160, "-w160")]  # noqa: RUF012
    AUTO_FOCUS = ""

    @property
    def tui(self) -> "TerminalApp":
        """The app, with its own type."""
        from tui.app import TerminalApp  # noqa: PLC0415 - the app imports the screens

        assert isinstance(self.app, TerminalApp)  # noqa: S101 - pages are made for this app
        return self.app

    def compose(self) -> ComposeResult:
        """Top line, the page's body, message line, footer."""
        yield TopLine(id="top")
        yield from self.body()
        yield Static("", id="message", markup=False)
        yield KeyFooter()

    def body(self) -> ComposeResult:
        """The widgets between the top line and the message line."""
        raise NotImplementedError

    def read(self) -> None:
        """Request all data that the page shows."""

    def changed(self, change: Change) -> None:
        """Read again after a change of the database while the page is shown, if the change is relevant."""
        del change
        self.read()

    def tick(self) -> None:
        """Called every ten seconds: repaint the ages and countdowns whose text changed, and nothing else."""

    def serve_changed(self) -> None:
        """Called when `TerminalApp.serve_is_running` was updated."""

    def on_mount(self) -> None:
        """Show whether `serve` runs."""
        self.top.show(self.tui.serve_text, self.MODE)

    def on_screen_resume(self) -> None:
        """Read again, as the data may be old."""
        self.top.show(self.tui.serve_text, self.MODE)
        self.read()

    @property
    def top(self) -> TopLine:
        """The top line."""
        return self.query_one("#top", TopLine)

    # Work in threads.

    def run_in_background(
        self,
        key: str,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[ApplianceError], None] | None = None,
    ) -> None:
        """Call `Background.run` with this page as the owner; an error is shown in the message line."""
        self.tui.background.run(self, key, work, done, failed or self.show_error)

    def confirm(self, question: str, consequence: str, yes: str, then: Callable[[], None]) -> None:
        """Ask before an action that cannot be undone; `then` is called after a yes."""

        def answered(answer: bool | None) -> None:  # noqa: FBT001 - the dialog's answer
            if answer:
                then()

        self.app.push_screen(Confirm(question, consequence, yes=yes), answered)

    # The message line.

    def show_message(self, message: str, *, tone: str = "plain") -> None:
        """Show a message until another one replaces it; a long one takes up to three lines."""
        line = self.query_one("#message", Static)
        text = Text(clean(message), self.tui.palette.tone(tone))
        if line.content != text:
            line.update(text)

    def show_error(self, error: ApplianceError) -> None:
        """Show the error and what to do."""
        fields = [f"{field}: {message}" for field, message in getattr(error, "fields", ())]
        text = " ".join([str(error), *fields]) if isinstance(error, RequestError) else str(error)
        self.show_message(f"✗ {' '.join(text.split())}", tone="bad")

    # Keys.

    @property
    def typing(self) -> bool:
        """Whether a text field has the focus."""
        return isinstance(self.focused, Input | TextArea)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters go to the text field that has the focus."""
        del parameters
        return not (self.typing and blocked_while_typing(self.WHERE, action))


def page_of(widget: Widget) -> Page:
    """The page that a widget belongs to."""
    screen = widget.screen
    assert isinstance(screen, Page)  # noqa: S101 - these widgets are used on pages only
    return screen
