"""The shards: a card for each, and actions on their logins."""

from datetime import datetime
from functools import partial
from typing import ClassVar, NamedTuple

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from moonmind_appliance.models import LoginState, Shard
from moonmind_appliance.runs.check_login import check_login
from moonmind_appliance.runs.drain import drain, resume
from moonmind_appliance.runs.pause import pause_shard, resume_shard
from moonmind_appliance.runs.sign_in import sign_out
from moonmind_appliance.views.shard_view import WaitingRun, shard_views, waiting_runs
from tui.keys import Where, bindings
from tui.screens import make_screen
from tui.screens.page import Page, page_of
from tui.shard_card import LOGIN_SIGNS, Card, card_text, waiting_text
from tui.static import update
from tui.text import clock, one_line

_FEW_EVENTS, _MANY_EVENTS = 2, 6
_HIGH_SCREEN = 36


class Loaded(NamedTuple):
    """The cards, by shard, all queued runs, and since when the appliance is drained (None: it is not)."""

    cards: list[Card]
    waiting: list[WaitingRun]
    drained_at: datetime | None


class ShardCard(Static, can_focus=True):
    """One shard. It is repainted only if its text has changed."""

    # With priority, as all keys: `j` that is typed ahead of `i` must choose the shard before it is signed in.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j,right", "app.focus_next", "Next shard", show=False, priority=True),
        Binding("up,k,left", "app.focus_previous", "Previous shard", show=False, priority=True),
    ]

    def __init__(self, card: Card) -> None:
        super().__init__(markup=False)
        self.card = card

    def show(self, card: Card) -> None:
        """Show the current state of the shard."""
        self.card = card
        self.paint()

    def paint(self) -> None:
        """Repaint if the text has changed: by data, age, width or theme."""
        width = self.content_size.width
        if width <= 0:
            return
        page = page_of(self)
        text = card_text(
            self.card,
            now=page.tui.now(),
            palette=page.tui.palette,
            width=width,
            events=_MANY_EVENTS if page.size.height >= _HIGH_SCREEN else _FEW_EVENTS,
            selected=self.has_focus,
        )
        update(self, text)

    def on_resize(self, event: events.Resize) -> None:
        """Wrap the lines again."""
        del event
        self.paint()

    def watch_has_focus(self, has_focus: bool) -> None:  # noqa: FBT001 - Textual passes it by position
        """Mark it as selected, or remove the mark."""
        super().watch_has_focus(has_focus)
        self.paint()


class ShardsScreen(Page):
    """All shards."""

    WHERE = Where.SHARDS
    MODE = "shards"
    BINDINGS = bindings(Where.SHARDS)
    CSS_PATH = "shards.tcss"

    _drained_at: datetime | None = None

    def body(self) -> ComposeResult:
        """A line about the waiting runs, then the cards."""
        yield Static("", id="waiting", markup=False)
        yield VerticalScroll(id="cards", can_focus=False)

    def read(self) -> None:
        """Request the shards and the queued runs."""
        self.run_in_background("shards", self._load, self._loaded)

    def _load(self) -> Loaded:
        store, settings = self.tui.resources.store, self.tui.settings
        waiting = waiting_runs(store)
        pinned = {
            shard: [run for run in waiting if run.shard_pin == shard] for shard in {run.shard_pin for run in waiting}
        }
        views = shard_views(store, settings, now=self.tui.now())
        cards = [Card(view, pinned.get(view.shard, [])) for view in views]
        return Loaded(cards, waiting, store.drain.since())

    def _loaded(self, loaded: Loaded) -> None:
        shown = self.cards
        if len(shown) != len(loaded.cards):
            made = [ShardCard(card) for card in loaded.cards]
            self.query_one("#cards").remove_children()
            self.query_one("#cards").mount(*made)
            self.set_focus(made[0])
        else:
            for widget, card in zip(shown, loaded.cards, strict=True):
                widget.show(card)
        now, palette = self.tui.now(), self.tui.palette
        text = Text(waiting_text(loaded.waiting, now), palette.muted)
        self._drained_at = loaded.drained_at
        if loaded.drained_at is not None:
            drained = f"‖ Drained since {clock(loaded.drained_at, now)}: no run starts. D resumes. "
            text = Text.assemble((drained, palette.waiting), text)
        update(self.query_one("#waiting", Static), text)

    def tick(self) -> None:
        """Update ages and times left."""
        for card in self.cards:
            card.paint()

    @property
    def cards(self) -> list[ShardCard]:
        """The cards, by shard."""
        return list(self.query(ShardCard))

    @property
    def selected(self) -> Card | None:
        """The shard that the keys are for."""
        focused = self.focused
        if isinstance(focused, ShardCard):
            return focused.card
        return self.cards[0].card if self.cards else None

    # Keys.

    async def action_open_run(self) -> None:
        """Open the run in progress."""
        if (card := self.selected) is not None:
            if card.view.run_id is None:
                self.show_message(f"No run is in progress on shard {card.view.shard}.")
            else:
                await self.app.push_screen(make_screen("run", card.view.run_id))

    async def action_sign_in(self) -> None:
        """Sign in; the old login stays until the new one is complete."""
        if (card := self.selected) is not None:
            await self.app.push_screen(make_screen("login", card.view.shard))

    def action_sign_out(self) -> None:
        """Sign out, after a confirmation."""
        if (card := self.selected) is None:
            return
        view = card.view
        if view.login is LoginState.ABSENT:
            self.show_message(f"Shard {view.shard} has no login.")
            return
        who = f" of {one_line(view.account_email)}" if view.account_email else ""
        self.confirm(
            f"Sign shard {view.shard} out?",
            f"The login{who} is revoked and removed. Runs that need this shard wait for the next sign-in.",
            "Sign out",
            partial(self._sign_out, view.shard),
        )

    def _sign_out(self, shard: int) -> None:
        self.show_message(f"Signing shard {shard} out.")
        self.run_in_background(
            f"out-{shard}", partial(sign_out, self.tui.resources, shard), partial(self._signed_out, shard)
        )

    def _signed_out(self, shard: int, result: tuple[Shard, bool]) -> None:
        _, was = result
        self.show_message(f"Shard {shard} is signed out." if was else f"Shard {shard} had no login.")
        self.read()

    def action_check(self) -> None:
        """Check the login now, and renew it."""
        if (card := self.selected) is not None:
            shard = card.view.shard
            self.show_message(f"Checking the login of shard {shard}.")
            self.run_in_background(f"check-{shard}", partial(check_login, self.tui.resources, shard), self._checked)

    def _checked(self, result: tuple[Shard, str | None]) -> None:
        shard, run_id = result
        if run_id is not None:
            self.show_message(
                f"Shard {shard.shard} is running run {run_id[:8]}, which updates its login state. Not checked."
            )
            return
        sign = LOGIN_SIGNS[shard.login]
        why = (
            f": {one_line(shard.login_reason)}" if shard.login_reason and shard.login is not LoginState.PRESENT else ""
        )
        self.show_message(f"{sign.mark} Shard {shard.shard} was checked: {sign.word}{why}.", tone=sign.tone)
        self.read()

    def action_pause(self) -> None:
        """Pause the shard, or resume it, after a confirmation."""
        if (card := self.selected) is None:
            return
        shard = card.view.shard
        if card.view.paused_at is not None:
            self.confirm(
                f"Resume shard {shard}?", "It accepts runs again.", "Resume", partial(self._pause, shard, paused=False)
            )
        else:
            self.confirm(
                f"Pause shard {shard}?",
                "It accepts no new runs until it is resumed. Its current run continues.",
                "Pause",
                partial(self._pause, shard, paused=True),
            )

    def _pause(self, shard: int, *, paused: bool) -> None:
        verb = pause_shard if paused else resume_shard
        self.run_in_background(
            f"pause-{shard}", partial(verb, self.tui.resources, shard), partial(self._paused, paused)
        )

    def action_drain(self) -> None:
        """Drain the appliance, or resume it, after a confirmation."""
        if self._drained_at is not None:
            self.confirm(
                "Resume the appliance?",
                "Waiting runs start again. Paused shards stay paused.",
                "Resume",
                partial(self._drain, drained=False),
            )
        else:
            self.confirm(
                "Drain the appliance?",
                "It finishes the runs in progress, and starts no others until it is resumed.",
                "Drain",
                partial(self._drain, drained=True),
            )

    def _drain(self, *, drained: bool) -> None:
        verb = partial(drain if drained else resume, self.tui.resources)
        self.run_in_background("drain", verb, partial(self._drain_changed, drained))

    def _drain_changed(self, drained: bool, _: datetime | None) -> None:  # noqa: FBT001 - bound by partial
        message = "The appliance is drained: it starts no runs." if drained else "The appliance starts runs."
        self.show_message(message)
        self.tui.check_serve()
        self.read()

    def _paused(self, paused: bool, shard: Shard) -> None:  # noqa: FBT001 - bound by partial
        self.show_message(f"Shard {shard.shard} is {'paused' if paused else 'resumed'}.")
        self.read()
