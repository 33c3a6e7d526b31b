"""A shard as lines of text."""

from datetime import timedelta

import pytest

from moonmind_appliance.models import LoginState, QuotaWindow, Shard, WaitReason
from moonmind_appliance.views.run_summary import WaitingForDetail
from moonmind_appliance.views.shard_view import shard_views
from tests.shard_states import save_shard
from tests.tui.attached import NOW
from tests.tui.run_rows import summary
from tui.shard_card import Card, bar_cells, card_text, event_text, waiting_text
from tui.signs import DARK


@pytest.fixture
def card(attached):
    """The lines of a shard's card; the shard has the given state."""

    def make(width=100, **fields):
        save_shard(attached.store, Shard(shard=0, **fields))
        view = shard_views(attached.store, attached.resources.settings, now=NOW)[0]
        text = card_text(Card(view, []), now=NOW, palette=DARK, width=width, events=3, selected=True)
        return [" ".join(line.split()) for line in text.plain.splitlines()], text

    return make


def test_a_signed_in_shard_has_its_account_and_quota(card):
    """And what it is doing, at the right edge."""
    quota = [QuotaWindow(95.0, 300, NOW + timedelta(hours=1))]
    lines, _ = card(login=LoginState.PRESENT, account_email="a@b.test", plan="plus", quota=quota)
    assert lines[0] == "▸ Shard 0 ✓ signed in a@b.test Plus idle"
    assert "95 % resets 13:00 ! nearly used" in next(line for line in lines if line.startswith("5 h"))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"paused_at": NOW}, "‖ paused since 12:00"),
        ({"cooldown_until": NOW + timedelta(hours=2)}, "‖ quota 14:00"),
        ({"cooldown_until": NOW - timedelta(hours=2)}, "idle"),
    ],
)
def test_what_a_shard_is_doing(card, fields, text):
    """A cooldown that is over is not shown."""
    lines, _ = card(login=LoginState.PRESENT, **fields)
    assert lines[0].endswith(text)


@pytest.mark.parametrize(
    ("login", "advice"),
    [
        (LoginState.ABSENT, "Press i to sign in."),
        (LoginState.DEAD, "Press i to sign in."),
        (LoginState.REFUSED, "Ask the account's owner to fix its plan or credits, or press i to use another account."),
    ],
)
def test_a_shard_that_accepts_no_runs_says_which_key_helps(card, login, advice):
    """With the reason."""
    lines, _ = card(login=login, login_reason="expired")
    assert advice in lines
    assert any(line.startswith("Accepts no runs") for line in lines)


@pytest.mark.parametrize("width", [40, 60, 120])
def test_no_line_is_wider_than_the_card(card, width):
    """Whatever a login file contains."""
    _, text = card(width, login=LoginState.DEAD, login_reason="\x1b[2J" + "x y " * 90, account_email="e" * 300)
    assert max(line.cell_len for line in text.split("\n")) <= width
    assert "\x1b" not in text.plain


@pytest.mark.parametrize(
    ("percent", "drawn", "empty"),
    [(0, "", "░░░░"), (50, "██", "░░"), (58, "██▍", "░"), (100, "████", ""), (250, "████", ""), (-3, "", "░░░░")],
)
def test_a_bar_has_its_width_for_any_percentage(percent, drawn, empty):
    """In eighths of a cell."""
    assert bar_cells(percent, 4) == (drawn, empty)


def test_waiting_runs_are_counted_by_reason():
    """In one sentence."""
    quota = WaitingForDetail(WaitReason.QUOTA, NOW + timedelta(hours=1))
    runs = [summary(), summary(waiting_for=quota), summary(waiting_for=quota)]
    assert waiting_text(runs, NOW) == "3 runs wait: 1 for their turn, 2 for quota until 13:00."
    assert waiting_text(runs[:1], NOW) == "1 run waits: 1 for their turn."
    assert waiting_text([], NOW) == "No run waits."


def test_an_event_has_its_reason():
    """Other data is left out."""
    assert (
        event_text("shard.cooldown_began", {"why": "used up\x1b[2J", "until": "", "x": 1}) == "cooldown began: used up"
    )
    assert event_text("shard.paused", {}) == "paused"
