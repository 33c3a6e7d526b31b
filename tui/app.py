"""The app: screens, themes, signals, and everything that all screens share."""

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import App, SystemCommand
from textual.command import CommandPalette
from textual.filter import Monochrome, NoColor
from textual.screen import Screen
from textual.widgets import Input, TextArea

from moonmind_appliance.checks import Finding, ServeState, run_checks, serve_state
from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.models import Actor
from moonmind_appliance.resources import Resources
from moonmind_appliance.settings import Settings
from tui import clipboard
from tui.background import Background
from tui.feed import DataChanged, DataFound, DataLost, Feed
from tui.keys import KEYS, Where, bindings, blocked_while_typing
from tui.screens import make_screen
from tui.screens.page import Page
from tui.signs import Palette
from tui.terminal import ThemeName
from tui.text import clean, clock
from tui.themes import COLOURLESS, PALETTES, THEMES, themes

ERROR_FILE = "tui-errors.log"

_CHECK_SERVE_SECONDS = 10.0
_TICK_SECONDS = 10.0
_SHOWN_COPY = 60


class TerminalApp(App[None]):
    """The terminal interface on an attached appliance. It never blocks and never stops a run.

    Args:
        resources: from `attach`; the caller closes them after the app has ended.
        actor: the user who submits, cancels and retries.
        serve_state: checks whether `serve` runs; may block, is called in a thread.
        checks: runs all checks; may block, is called in a thread.
        theme_name: the theme to begin with.
        environment: of the process, for TMUX and the user's state folder.
        exit_codes: of the commands, each with its meaning, for the help screen.
    """

    TITLE = "MoonMind appliance"
    CSS_PATH = "app.tcss"
    BINDINGS = bindings(Where.EVERYWHERE)
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "runs": partial(make_screen, "runs"),
        "shards": partial(make_screen, "shards"),
        "checks": partial(make_screen, "checks"),
    }
    DEFAULT_MODE = "runs"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "f24"  # the app's own key bindings open it

    def __init__(
        self,
        resources: Resources,
        actor: Actor,
        *,
        serve_state: Callable[[Settings], ServeState] = serve_state,
        checks: Callable[[Settings, Resources | None], Iterator[Finding]] = run_checks,
        theme_name: ThemeName = ThemeName.DARK,
        environment: dict[str, str] | None = None,
        exit_codes: Sequence[tuple[int, str]] = (),
    ) -> None:
        super().__init__(watch_css=False)
        self.resources = resources
        self.actor = actor
        self.background = Background()
        self.feed = Feed(self, resources.store)
        self.exit_codes = tuple(exit_codes)
        self.environment = dict(os.environ) if environment is None else environment
        self.serve_state: ServeState | None = None
        """The last result; None before the first one."""
        self.drained_at: datetime | None = None
        """When the appliance was drained, at the last check; None: it was not."""
        self._read_serve_state = serve_state
        self.checks = checks
        self.lost: ApplianceError | None = None
        """Why the database cannot be read; None: it can."""
        self.animation_level = "none"
        for theme in themes():
            self.register_theme(theme)
        self.theme = THEMES[theme_name]
        self._filter_colours()

    # For screens.

    @property
    def settings(self) -> Settings:
        """The settings of the attached appliance."""
        return self.resources.settings

    def now(self) -> datetime:
        """The time, in UTC."""
        return self.resources.clock()

    @property
    def palette(self) -> Palette:
        """The colours of the theme."""
        return PALETTES.get(self.theme, PALETTES[THEMES[ThemeName.DARK]])

    @property
    def serve_is_running(self) -> bool | None:
        """Whether `serve` runs; None: not known yet, or the database that it would use cannot be read."""
        return None if self.serve_state is None or self.lost is not None else self.serve_state.answers

    @property
    def serve_text(self) -> Text:
        """The same for the top line."""
        if self.lost is not None:
            return Text("✗ database: not readable", self.palette.bad)
        if self.serve_state is None:
            return Text("serve: checking")
        if not self.serve_state.answers:
            return Text("‖ serve: not running", self.palette.waiting)
        if self.drained_at is not None:
            return Text("‖ drained: no run starts", self.palette.waiting)
        if not self.serve_state.ready:
            return Text("! serve: not ready, press 3", self.palette.waiting)
        return Text("serve: running")

    def copy(self, text: str, what: str) -> None:
        """Send a text to the clipboard of the user's terminal, and show a message."""

        def sent(how: str) -> None:
            shown = text if len(text) <= _SHOWN_COPY else f"{text[: _SHOWN_COPY - 1]}…"
            if isinstance(self.screen, Page):
                self.screen.show_message(f"{what} {how}: {' '.join(shown.split())}")

        self.background.run(self, "", partial(clipboard.send, text, self.environment, self._write), sent, self._ignore)

    def copy_to_clipboard(self, text: str) -> None:
        """Override Textual's method, which it calls for a selection."""
        self._clipboard = text
        self.copy(text, "Selection")

    def _write(self, data: str) -> None:
        if self._driver is not None:
            self._driver.write(data)

    @staticmethod
    def _ignore(error: ApplianceError) -> None:
        del error

    # Start and end.

    def on_mount(self) -> None:
        """Start to watch the database, the `serve` process and the clock."""
        self._catch_signals()
        self.app_resume_signal.subscribe(self, self._repaint)
        self.feed.start()
        self.check_serve()
        self.set_interval(_CHECK_SERVE_SECONDS, self.check_serve)
        self.set_interval(_TICK_SECONDS, self._tick)

    def on_unmount(self) -> None:
        """Stop the threads."""
        self.feed.stop()
        self.background.close()

    def _catch_signals(self) -> None:
        """Restore the terminal on SIGTERM and SIGHUP, which otherwise leave it in raw mode, with mouse reporting on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            # Not in the main thread: then the code that started the loop handles signals.
            with suppress(RuntimeError, ValueError, NotImplementedError):
                loop.add_signal_handler(number, self.exit)

    def _repaint(self, app: App[Any]) -> None:
        """Repaint after `fg`, which does not do it."""
        del app
        self.screen.refresh(layout=True)

    def _filter_colours(self) -> None:
        """Remove all colours, or none. Textual decides it only once, by NO_COLOR, before it knows the theme."""
        filters = [each for each in self._filters if not isinstance(each, NoColor | Monochrome)]
        self._filters = [*filters, NoColor()] if self.theme == COLOURLESS else filters

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The app's own variables, for themes that do not define them."""
        return {"cursor": "ansi_default", "cursor-blurred": "ansi_default"}

    def _fatal_error(self) -> None:
        """Handle a defect: write its trace to a file, without local variables, which may contain secrets.

        Textual's own method shows the trace with them on the terminal. Errors during the exit are only in the file.
        """
        self.bell()
        trace = self.resources.redactor.redact_text("".join(traceback.format_exception(*sys.exc_info())))
        path = self.settings.moonmind_data_dir / ERROR_FILE
        where = (
            f"The traceback is in {path}: please report it."
            if _append(path, trace)
            else "The traceback could not be written."
        )
        name = type(sys.exc_info()[1]).__name__
        if not self._exit_renderables:
            self._exit_renderables.append(
                Text(f"error: the terminal interface crashed ({name}). Runs continue. {where}")
            )
        self._close_messages_no_wait()

    # Messages of the feed.

    @property
    def pages(self) -> list[Page]:
        """The page that is shown, also below a dialog.

        None while the page opens: it has no widgets yet, and reads everything when it has them. None while the
        interface ends, which removes the widgets.
        """
        if not self.is_running:
            return []
        shown = [screen for screen in self.screen_stack if isinstance(screen, Page)][-1:]
        return [page for page in shown if page.is_mounted]

    def on_data_changed(self, message: DataChanged) -> None:
        """Let the shown page read again."""
        change = message.change
        if not change.run_ids and not change.shards and not change.other:
            # An event of the appliance itself, such as a drain.
            self.check_serve()
        for page in self.pages:
            page.changed(change)

    def on_data_lost(self, message: DataLost) -> None:
        """Show a message, and keep the displayed data."""
        self.lost = message.error
        self._show_serve()
        for page in self.pages:
            page.show_message(f"✗ {message.error} Shown: state of {clock(self.now(), self.now())}.", tone="bad")

    def on_data_found(self, message: DataFound) -> None:
        """Read again."""
        del message
        self.lost = None
        self._show_serve()
        for page in self.pages:
            page.show_message("The database can be read again.")
            page.read()

    def check_serve(self) -> None:
        """Check now whether the service is ready, in addition to the check every ten seconds."""
        self.background.run(
            self,
            "serve",
            lambda: (self._read_serve_state(self.settings), self.resources.store.drain.since()),
            self._serve_checked,
            self._ignore,
        )

    def _serve_checked(self, state: tuple[ServeState, datetime | None]) -> None:
        self.serve_state, self.drained_at = state
        self._show_serve()

    def _show_serve(self) -> None:
        for page in self.pages:
            page.top.show(self.serve_text, page.MODE)
            page.serve_changed()

    def _tick(self) -> None:
        for page in self.pages:
            page.tick()

    # Keys.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters go to the text field that has the focus; dialogs and the palette have keys of their own."""
        del parameters
        if action in _APP_ACTIONS:
            if self.screen.is_modal and action not in {"leave", "suspend_process"}:
                return False
            if action == "suspend_process" and isinstance(self.focused, TextArea):
                # This key is undo in the editor.
                return False
            typing = isinstance(self.focused, Input | TextArea)
            return not (typing and blocked_while_typing(Where.EVERYWHERE, action))
        return True

    async def action_show(self, mode: str) -> None:
        """Show one of the numbered screens; if it is already shown, go back to its first page."""
        if mode == self.current_mode:
            while len(self.screen_stack) > 1:
                await self.pop_screen()
            return
        await self.switch_mode(mode)

    async def action_help(self) -> None:
        """Show every key."""
        if self.screen.__class__.__name__ != "HelpScreen":
            await self.push_screen(make_screen("help", getattr(self.screen, "WHERE", None)))

    def action_leave(self) -> None:
        """Quit; runs continue."""
        self.exit()

    def action_next_theme(self) -> None:
        """Switch between dark, light and no colour."""
        names = list(THEMES.values())
        following = names[(names.index(self.theme) + 1) % len(names)] if self.theme in names else names[0]
        self.theme = following
        self._filter_colours()
        for screen in self.screen_stack:
            screen.refresh(layout=True, repaint=True)
            for widget in screen.query("*"):
                widget.refresh()

    async def action_command_palette(self) -> None:  # type: ignore[override] # Textual awaits what is awaitable
        """Open the palette, without the blinking cursor, which writes to the terminal continuously."""
        if not isinstance(self.screen, CommandPalette):
            palette = CommandPalette(id="--command-palette")
            await self.push_screen(palette)
            palette.query_one(Input).cursor_blink = False

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """All commands that have a key on this screen."""
        where = getattr(screen, "WHERE", None)
        parts = [where] if isinstance(where, Where) else []
        for part in [*parts, Where.EVERYWHERE]:
            target = self if part is Where.EVERYWHERE else screen
            for key in KEYS[part]:
                if key.name.endswith("_typing") or key.name in {"palette", "palette_colon"}:
                    continue
                title = f"{key.label or key.help.rstrip('.')} ({key.shown})"
                yield SystemCommand(clean(title), key.help, partial(self.run_action, key.action, target))

    def on_key(self, event: events.Key) -> None:
        """Ignore the key: pressing an unbound key is not an error."""
        del event


_APP_ACTIONS = frozenset(key.action.partition("(")[0] for key in KEYS[Where.EVERYWHERE])


def _append(path: Path, text: str) -> bool:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(file, "a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError:
        return False
    return True


__all__ = ["ERROR_FILE", "TerminalApp"]
