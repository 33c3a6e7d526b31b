"""The sign-in screen: instructions, time left, and outcome; leaving it changes nothing."""

import msgspec
import pytest
from textual.widgets import Static

from moonmind_appliance.errors import EngineUnreachable
from moonmind_appliance.models import LABEL_RUN, Author, Interface, LoginState, current_author, set_author
from moonmind_appliance.shards.spec import login_spec
from tests.tui.attached import settle, until
from tests.tui.simulated_sign_in import ADDRESS, CODE, NEW, OLD, SimulatedSignIn, put_login, stored_login
from tui.screens import make_screen

pytestmark = pytest.mark.anyio


@pytest.fixture
def sign_in(attached):
    put_login(attached.engine, attached.resources.shards[0].volume)
    made = SimulatedSignIn(attached.engine)
    yield made
    made.decided.set()


async def open_sign_in(app, pilot):
    await settle(pilot)
    screen = make_screen("login", 0)
    await app.push_screen(screen)
    await until(pilot, lambda: CODE in shown(screen, "instructions"))
    return screen


def shown(screen, name):
    return str(screen.query_one(f"#{name}", Static).content)


def login_of(attached):
    return stored_login(attached.engine, attached.resources.shards[0].volume)


async def test_a_sign_in_from_the_code_to_the_account(attached, sign_in):
    """Address, code, QR code and time left are shown, then the account; the new login is stored."""
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_sign_in(app, pilot)
        assert ADDRESS in shown(screen, "instructions")
        assert "15 min left" in shown(screen, "outcome")
        assert screen.query_one("#qr").display
        sign_in.decided.set()
        await until(pilot, lambda: "Shard 0 is signed in as ann@example.invalid" in shown(screen, "outcome"))
        assert "Type the code" not in shown(screen, "instructions")
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is not screen)
    assert login_of(attached) == NEW
    assert attached.store.shards.get(0).login is LoginState.PRESENT


async def test_a_sign_in_is_recorded_as_the_users(attached, sign_in):
    """The sign-in has its own thread."""
    author = Author("os:ann", "ann", Interface.TUI)
    before = current_author()
    set_author(author)
    try:
        app = attached.app()
        async with app.run_test() as pilot:
            screen = await open_sign_in(app, pilot)
            sign_in.decided.set()
            await until(pilot, lambda: "Shard 0 is signed in" in shown(screen, "outcome"))
    finally:
        set_author(before)
    assert [(event.kind, by) for event, by in attached.store.events.authored(limit=10)] == [("shard.signed_in", author)]


async def test_the_time_left_changes_by_the_minute(attached, sign_in):
    """In the last minute every ten seconds, to write little to the terminal."""
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_sign_in(app, pilot)
        seen = []
        for seconds in (61, 20, 13 * 60, 30):
            attached.advance(seconds=seconds)
            screen.tick()
            seen.append(shown(screen, "outcome").split(", ")[1].split(" left")[0])
        assert seen == ["14 min", "14 min", "40 s", "10 s"]


async def test_escape_leaves_the_old_login_unchanged(attached, sign_in):
    """The sign-in's container is removed before the screen closes."""
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_sign_in(app, pilot)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not screen)
        assert attached.engine.container_data == {}
    assert login_of(attached) == OLD


async def test_quitting_leaves_the_old_login_unchanged(attached, sign_in):
    """Nothing of the sign-in is left in this case either."""
    app = attached.app()
    async with app.run_test() as pilot:
        await open_sign_in(app, pilot)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
    assert attached.engine.container_data == {}
    assert login_of(attached) == OLD


async def test_a_refusal_is_shown_and_r_tries_again(attached, sign_in):
    """With Codex's message."""
    sign_in.refuses = True
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_sign_in(app, pilot)
        sign_in.decided.set()
        await until(pilot, lambda: "denied" in shown(screen, "outcome"))
        assert login_of(attached) == OLD
        sign_in.refuses = False
        await pilot.press("r")
        await until(pilot, lambda: "is signed in" in shown(screen, "outcome"))
    assert login_of(attached) == NEW


async def test_an_engine_that_does_not_respond_is_reported(attached, sign_in):
    """With what to do."""
    attached.engine.fail(EngineUnreachable("The Docker engine does not answer.", hint="Start it."), times=100)
    app = attached.app()
    async with app.run_test() as pilot:
        await settle(pilot)
        screen = make_screen("login", 0)
        await app.push_screen(screen)
        await until(pilot, lambda: "does not answer. Start it." in shown(screen, "outcome"))


async def test_the_screen_shows_what_the_new_login_waits_for(attached, sign_in):
    """A run on the shard continues; Escape still keeps the old login."""
    resources, name = attached.resources, attached.resources.shards[0]
    attached.engine.ensure_network(resources.settings.job_network, {})
    spec = login_spec(resources, name, role="agent", name=name.lock, login_volume=name.volume)
    attached.engine.start(msgspec.structs.replace(spec, labels={LABEL_RUN: "run-1", "moonmind.role": "agent"}))
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_sign_in(app, pilot)
        sign_in.decided.set()
        await until(pilot, lambda: "stored when run run-1 ends" in shown(screen, "outcome"))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not screen)
    assert login_of(attached) == OLD


async def test_the_code_and_the_address_are_copied(attached, sign_in, monkeypatch):
    """Through the terminal's clipboard sequence."""
    app = attached.app()
    async with app.run_test() as pilot:
        copied = []
        monkeypatch.setattr(app, "copy", lambda text, what: copied.append((what, text)))
        await open_sign_in(app, pilot)
        await pilot.press("c", "o")
        await pilot.pause()
        assert copied == [("Code", CODE), ("Address", ADDRESS)]


@pytest.mark.parametrize(("size", "drawn"), [((80, 24), True), ((74, 24), False), ((80, 20), False), ((160, 48), True)])
async def test_the_qr_code_is_drawn_if_it_fits(attached, sign_in, size, drawn):
    """A partial QR code is never drawn."""
    app = attached.app()
    async with app.run_test(size=size) as pilot:
        screen = await open_sign_in(app, pilot)
        assert screen.query_one("#qr").display is drawn
