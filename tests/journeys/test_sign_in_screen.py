"""The sign-in screen with the real Codex CLI on the real engine: it shows what the stand-in for OpenAI issued."""

import asyncio

import pytest
from textual.widgets import Static

from moonmind_appliance.attach import attach
from moonmind_appliance.checks import ServeState
from moonmind_appliance.models import Actor, LoginState
from moonmind_appliance.shards.read_login import read_stored_login
from tui.app import TerminalApp
from tui.screens.login import LoginScreen
from tui.screens.shards import ShardsScreen

pytestmark = [pytest.mark.docker, pytest.mark.image]

OPERATOR = Actor("os:olga", "olga", operator=True)


@pytest.fixture
def resources(environment):
    with attach(environment.settings) as made:
        yield made


@pytest.fixture
def manual_approval(environment):
    """Each login needs an approval."""
    environment.openai._logins._approve_after_polls = None
    yield environment.openai
    environment.openai._logins._approve_after_polls = 0


def login_file(resources):
    return read_stored_login(resources, 1)


def test_signed_in_stopped_and_refused_on_the_screen(resources, manual_approval):
    """An approved code signs in; Escape and a refusal then leave that login unchanged."""
    asyncio.run(sign_in_stop_and_be_refused(resources, manual_approval))


async def sign_in_stop_and_be_refused(resources, openai):
    app = TerminalApp(resources, OPERATOR, serve_state=lambda _settings: ServeState(answers=False))
    async with app.run_test() as pilot:
        await pilot.press("2")
        await until(lambda: isinstance(app.screen, ShardsScreen) and len(app.screen.cards) == 2)
        await pilot.press("j", "i")
        openai.approve(await code_on(app))
        await until(lambda: "✓ Shard 1 is signed in as" in text_of(app, "outcome"))
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, ShardsScreen))
        state = resources.store.shards.get(1)
        assert state.login is LoginState.PRESENT
        await until(lambda: state.account_email in str(app.screen.cards[1].content))
        stored = await asyncio.to_thread(login_file, resources)

        await pilot.press("i")
        await code_on(app)
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, ShardsScreen))
        assert await asyncio.to_thread(login_file, resources) == stored

        await pilot.press("i")
        openai.deny(await code_on(app))
        await until(lambda: text_of(app, "outcome").startswith("✗"))
        assert await asyncio.to_thread(login_file, resources) == stored
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, ShardsScreen))
    left = resources.engine.containers({"moonmind.appliance": resources.appliance_id, "moonmind.role": "login"})
    assert left == []


async def code_on(app):
    """The code on the screen."""
    await until(lambda: isinstance(app.screen, LoginScreen) and "Type the code" in text_of(app, "instructions"))
    return text_of(app, "instructions").split("Type the code:")[1].split()[0]


def text_of(app, name):
    found = app.screen.query(f"#{name}")
    return str(found.first(Static).content) if found else ""


async def until(true):
    async with asyncio.timeout(90):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.05)
