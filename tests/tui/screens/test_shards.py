"""The shards screen: the cards, and every key."""

from datetime import timedelta

import pytest
from textual.widgets import Static

from moonmind_appliance.models import Author, Interface, LoginState, QuotaWindow, Shard, current_author, set_author
from moonmind_appliance.shards.spec import login_spec
from tests.shard_states import save_shard
from tests.tui.attached import NOW, settle, until
from tests.tui.simulated_sign_in import put_login
from tui.screens.confirm import Confirm
from tui.screens.login import LoginScreen
from tui.screens.run import RunScreen
from tui.screens.shards import ShardsScreen

pytestmark = pytest.mark.anyio

SIGNED_IN = Shard(
    shard=0,
    login=LoginState.PRESENT,
    account_email="ada@example.org",
    plan="plus",
    checked_at=NOW - timedelta(minutes=12),
    access_expires_at=NOW + timedelta(minutes=40),
    last_refresh_at=NOW - timedelta(hours=2),
    last_turn_at=NOW - timedelta(minutes=12),
    quota=[
        QuotaWindow(31, 300, NOW + timedelta(hours=2, minutes=20)),
        QuotaWindow(92, 10080, NOW + timedelta(days=2)),
    ],
)
DEAD = Shard(
    shard=1,
    login=LoginState.DEAD,
    login_reason="OpenAI refused to renew the login",
    login_since=NOW - timedelta(hours=3),
    account_email="bob@example.org",
)


@pytest.fixture(autouse=True)
def shards(attached):
    save_shard(attached.store, SIGNED_IN)
    save_shard(attached.store, DEAD)


async def open_shards(app, pilot):
    await settle(pilot)
    await pilot.press("2")
    await settle(pilot)
    assert isinstance(app.screen, ShardsScreen)
    return app.screen


def card(screen, number):
    return str(screen.cards[number].content)


def message(screen):
    return str(screen.query_one("#message", Static).content)


async def test_a_card_shows_the_account_and_the_login_facts(attached):
    """Account, plan, the four login facts with their times, the quota windows."""
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_shards(app, pilot)
        assert [line.split() for line in card(screen, 0).splitlines()] == [
            ["▸", "Shard", "0", "✓", "signed", "in", "ada@example.org", "Plus", "idle"],
            ["Login", "✓", "file", "seen", "12m", "ago", "✓", "token,", "40", "min", "left"],
            ["✓", "renewed", "2h", "ago", "✓", "model", "turn", "12m", "ago"],
            ["5", "h", "██████▎░░░░░░░░░░░░░", "31", "%", "resets", "14:20"],
            ["7", "d", "██████████████████▍░", "92", "%", "resets", "Tue", "12:00", "!", "nearly", "used"],
        ]


async def test_a_card_shows_why_a_shard_accepts_no_runs_and_what_to_press(attached):
    """With the time and OpenAI's message."""
    app = attached.app()
    async with app.run_test() as pilot:
        text = card(await open_shards(app, pilot), 1)
        assert "✗ dead login  bob@example.org" in text
        assert "Accepts no runs since 09:00 (OpenAI refused to renew the login)" in text
        assert "Press i to sign in." in text


async def test_a_change_by_another_process_is_shown(attached):
    """Only the changed card is repainted."""
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_shards(app, pilot)
        untouched = screen.cards[1].content
        run = attached.submit()
        attached.store.queue.claim(0, "lease", now=attached.resources.clock(), lease_seconds=60)
        await until(pilot, lambda: f"▶ {run.short_id}" in card(screen, 0))
        assert screen.cards[1].content is untouched


async def test_waiting_runs_are_counted(attached):
    """All of them, and those for one shard."""
    attached.submit()
    attached.submit(shard=1)
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_shards(app, pilot)
        assert str(screen.query_one("#waiting", Static).content).startswith("2 runs wait: ")
        assert "1 run for this shard alone" in card(screen, 1)


async def test_ages_change_as_time_passes(attached):
    """Without a change of the database."""
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_shards(app, pilot)
        attached.advance(minutes=5)
        screen.tick()
        assert "file seen 17m ago" in card(screen, 0)
        assert "token, 35 min left" in card(screen, 0)


async def test_enter_opens_the_run_in_progress(attached):
    """A message explains that there is none."""
    attached.submit()
    attached.store.queue.claim(0, "lease", now=attached.resources.clock(), lease_seconds=60)
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_shards(app, pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: "No run is in progress on shard 1" in message(screen))
        await pilot.press("k", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_i_opens_the_sign_in_of_the_selected_shard(attached):
    """Selected with j or the arrows."""
    app = attached.app()
    async with app.run_test() as pilot:
        await open_shards(app, pilot)
        await pilot.press("j", "i")
        await until(pilot, lambda: isinstance(app.screen, LoginScreen))
        assert app.screen._shard == 1


async def test_sign_out_asks_first(attached):
    """No keeps the login, yes removes it."""
    put_login(attached.engine, attached.resources.shards[0].volume)
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_shards(app, pilot)
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is screen)
        assert attached.store.shards.get(0).login is LoginState.PRESENT
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: "Shard 0 is signed out" in message(screen))
        await until(pilot, lambda: "no login" in card(screen, 0))
        await pilot.press("X")
        await until(pilot, lambda: "Shard 0 has no login" in message(screen))


async def test_a_refused_sign_out_is_reported(attached):
    """A run uses the shard."""
    resources, name = attached.resources, attached.resources.shards[0]
    put_login(attached.engine, name.volume)
    attached.engine.ensure_network(resources.settings.job_network, {})
    attached.engine.start(login_spec(resources, name, role="agent", name=name.lock, login_volume=name.volume))
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_shards(app, pilot)
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: message(screen).startswith("✗"))
        assert attached.store.shards.get(0).login is LoginState.PRESENT


async def test_c_checks_the_login(attached):
    """And shows the result."""
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_shards(app, pilot)
        await pilot.press("c")
        await until(pilot, lambda: "Shard 0 was checked: no login" in message(screen))


async def test_d_drains_and_resumes_after_a_question(attached):
    """The line above the cards and the top line of every screen show it."""
    app = attached.app()

    def waiting(screen):
        return str(screen.query_one("#waiting", Static).content)

    async with app.run_test() as pilot:
        screen = await open_shards(app, pilot)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: "‖ Drained since 12:00: no run starts. D resumes." in waiting(screen))
        await until(pilot, lambda: "‖ drained: no run starts" in screen.top.render().plain)
        assert attached.store.drain.since() == NOW
        attached.submit()
        await until(pilot, lambda: "1 run waits: 1 for the appliance to be resumed (D)." in waiting(screen))
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: "rained" not in waiting(screen) + screen.top.render().plain)
        assert attached.store.drain.since() is None


async def test_another_process_drains(attached):
    """The top line shows it at once, on every screen."""
    app = attached.app()
    async with app.run_test() as pilot:
        await settle(pilot)
        attached.store.drain.begin(NOW)
        await until(pilot, lambda: "‖ drained: no run starts" in app.screen.top.render().plain)


async def test_p_pauses_and_resumes_after_a_question(attached):
    """The card shows since when."""
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_shards(app, pilot)
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: "‖ paused since 12:00" in card(screen, 0))
        assert attached.store.shards.get(0).paused_at == NOW
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: "paused" not in card(screen, 0).splitlines()[0])
        assert attached.store.shards.get(0).paused_at is None


async def test_a_pause_is_recorded_as_the_users(attached):
    """Another thread makes the change."""
    author = Author("os:ann", "ann", Interface.TUI)
    before = current_author()
    set_author(author)
    try:
        app = attached.app()
        async with app.run_test() as pilot:
            await open_shards(app, pilot)
            await pilot.press("p")
            await until(pilot, lambda: isinstance(app.screen, Confirm))
            await pilot.press("y")
            await until(pilot, lambda: attached.store.events.authored(limit=10) != [])
    finally:
        set_author(before)
    assert [(event.kind, by) for event, by in attached.store.events.authored(limit=10)] == [("shard.paused", author)]


@pytest.mark.parametrize(("width", "columns"), [(80, 1), (120, 2), (160, 2)])
async def test_cards_are_side_by_side_if_they_fit(attached, width, columns):
    """From 120 columns on."""
    app = attached.app()
    async with app.run_test(size=(width, 40)) as pilot:
        screen = await open_shards(app, pilot)
        assert len({widget.region.x for widget in screen.cards}) == columns
