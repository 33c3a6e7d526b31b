"""The keys of the shown screen, in the last line."""

import pytest
from textual.widgets._footer import FooterKey

from tests.tui.attached import settle
from tui.footer import KeyFooter

pytestmark = pytest.mark.anyio


def labels(app):
    return [key.description for key in app.screen.query_one(KeyFooter).query(FooterKey)]


async def test_each_screen_shows_its_own_keys(attached):
    """Each action once."""
    app = attached.app()
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        runs = labels(app)
        await pilot.press("2")
        await settle(pilot)
        shards = labels(app)
    assert {"Filter", "New", "Sort"} <= set(runs)
    assert {"Sign in", "Check"} <= set(shards)
    assert len(set(runs)) == len(runs)


async def test_the_same_keys_are_not_replaced(attached):
    """Textual's own footer would keep a reference to every key that it replaced."""
    app = attached.app()
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        footer = app.screen.query_one(KeyFooter)
        before = list(footer.query(FooterKey))
        footer.bindings_changed(app.screen)
        await settle(pilot)
        assert list(footer.query(FooterKey)) == before
