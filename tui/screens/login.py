"""The sign-in of a shard: address, code and QR code, time left, and the outcome."""

import asyncio
import threading
from contextvars import copy_context

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Static

from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.runs.sign_in import SignedIn, SignIn, SignInFailed, SignInPrompt, SignInStep
from tui.keys import Where, bindings
from tui.qr import COLOURED, COLOURLESS, qr_code, qr_size
from tui.screens.page import Page
from tui.sign_in_text import instructions, outcome
from tui.signs import NO_COLOUR
from tui.static import update

# The address, which cannot be wrapped, must fit beside the QR code.
_TEXT_WIDTH = 42
_OTHER_LINES = 5
_UNDONE_SECONDS = 10


class LoginScreen(Page):
    """Signs one shard in by device code. Closing it before the end changes nothing."""

    WHERE = Where.LOGIN
    MODE = "shards"
    BINDINGS = bindings(Where.LOGIN)
    CSS_PATH = "login.tcss"

    class Stepped(Message):
        """The sign-in reached its next step."""

        def __init__(self, steps: SignIn, step: SignInStep) -> None:
            super().__init__()
            self.steps = steps
            self.step = step

    class Broke(Message):
        """The sign-in ended with a defect."""

        def __init__(self, error: Exception) -> None:
            super().__init__()
            self.error = error

    def __init__(self, shard: int) -> None:
        super().__init__()
        self._shard = shard
        self._steps: SignIn | None = None
        self._thread: threading.Thread | None = None
        self._prompt: SignInPrompt | None = None
        self._step: SignInStep | None = None
        self._stopping = False

    def body(self) -> ComposeResult:
        """The QR code, and the instructions beside it."""
        with Horizontal(id="sign-in"):
            yield Static("", id="qr", markup=False)
            with Vertical(id="prompt"):
                yield Static("", id="instructions", markup=False)
                yield Static("", id="outcome", markup=False)

    def on_mount(self) -> None:
        """Start the sign-in."""
        super().on_mount()
        self._begin()

    def _begin(self) -> None:
        self._prompt = self._step = None
        self._steps = SignIn(self.tui.resources, self._shard)
        # A thread of its own: it waits for the user.
        self._thread = threading.Thread(
            target=copy_context().run, args=[self._iterate, self._steps], name="tui-sign-in", daemon=True
        )
        self._thread.start()
        self._show()

    def _iterate(self, steps: SignIn) -> None:
        try:
            with steps:
                for step in steps:
                    self.post_message(self.Stepped(steps, step))
        except ApplianceError as error:
            self.post_message(self.Stepped(steps, SignInFailed(error)))
        except Exception as error:  # noqa: BLE001 - raised again in the loop, which ends the interface with one message
            self.post_message(self.Broke(error))

    def on_login_screen_broke(self, message: "LoginScreen.Broke") -> None:
        """Raise the defect in the loop."""
        raise message.error

    def on_login_screen_stepped(self, message: "LoginScreen.Stepped") -> None:
        """Show the step; after a stop the last step closes the screen."""
        if message.steps is not self._steps:
            return
        self._step = message.step
        if isinstance(message.step, SignInPrompt):
            self._prompt = message.step
        if isinstance(message.step, SignedIn):
            self.tui.check_serve()
        if self._stopping and self._over:
            self._close_stopped()
            return
        self._show()
        self.refresh_bindings()

    @property
    def _over(self) -> bool:
        return isinstance(self._step, SignedIn | SignInFailed)

    def _close_stopped(self) -> None:
        """Close; the page below shows the state of the login."""
        self.dismiss()
        message = "Sign-in stopped: the login of shard {} is unchanged."
        if isinstance(self._step, SignedIn):
            message = "✓ Shard {} was signed in before the sign-in could be stopped."
        below = self.tui.pages
        if below:
            below[0].show_message(message.format(self._shard))

    def _show(self) -> None:
        """Repaint only what changed."""
        palette, now = self.tui.palette, self.tui.now()
        done = isinstance(self._step, SignedIn)
        self._put("instructions", instructions(self._shard, self._prompt, palette, done=done))
        expires = self._prompt.expires_at if self._prompt else None
        message = outcome(self._shard, self._step, expires, now, palette)
        if self._stopping and not self._over:
            message = Text("Stopping. The old login is unchanged.", palette.muted)
        self._put("outcome", message)
        qr = self.query_one("#qr", Static)
        qr.display = self._qr_code_fits and not self._over
        if self._prompt is not None and qr.display:
            style = COLOURLESS if palette is NO_COLOUR else COLOURED
            self._put("qr", qr_code(self._prompt.address, style))

    @property
    def _qr_code_fits(self) -> bool:
        if self._prompt is None or not self._prompt.code:
            return False
        columns, lines = qr_size(self._prompt.address)
        return self.size.width >= columns + _TEXT_WIDTH and self.size.height >= lines + _OTHER_LINES

    def _put(self, name: str, text: Text) -> None:
        update(self.query_one(f"#{name}", Static), text)

    def tick(self) -> None:
        """Update the time left."""
        self._show()

    def on_resize(self, event: events.Resize) -> None:
        """Show or hide the QR code, by the space."""
        del event
        self._show()

    # Keys.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Retry is available only after a failure, and copying only before the end."""
        if action == "again":
            return isinstance(self._step, SignInFailed)
        if action in {"copy_code", "copy_address"}:
            return self._prompt is not None and not self._over
        if action == "done":
            return self._over
        return super().check_action(action, parameters)

    def action_copy_code(self) -> None:
        """Send the code to the terminal's clipboard."""
        if self._prompt is not None:
            self.tui.copy(self._prompt.code, "Code")

    def action_copy_address(self) -> None:
        """Send the address to the terminal's clipboard."""
        if self._prompt is not None:
            self.tui.copy(self._prompt.address, "Address")

    def action_again(self) -> None:
        """Request a new code after a failure."""
        if isinstance(self._step, SignInFailed):
            self._begin()

    def action_done(self) -> None:
        """After the end: go back."""
        self.dismiss()

    def action_back(self) -> None:
        """Stop; the screen closes after the clean-up. After the end: go back."""
        if self._over or self._steps is None:
            self.dismiss()
            return
        self._stopping = True
        self._steps.cancel()
        self._show()

    async def on_unmount(self) -> None:
        """Quitting the interface stops the sign-in, too, and waits some seconds for the clean-up."""
        if self._steps is not None and self._thread is not None and self._thread.is_alive():
            self._steps.cancel()
            await asyncio.to_thread(self._thread.join, _UNDONE_SECONDS)
