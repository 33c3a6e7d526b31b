"""The help screen: every key, the exit codes, and how to copy."""

import pytest

from moonmind_appliance.cli.exits import MEANINGS
from tests.tui.attached import settle, until
from tui.keys import Where
from tui.screens.help import HelpScreen
from tui.text_lines import TextLines

CODES = [(code.value, meaning) for code, meaning in MEANINGS.items()]


@pytest.mark.anyio
@pytest.mark.parametrize("key", ["question_mark", "f1", "4"])
async def test_a_key_opens_the_help_and_escape_closes_it(attached, key):
    """On every screen; the help begins with that screen's keys."""
    app = attached.app(exit_codes=CODES)
    async with app.run_test() as pilot:
        await settle(pilot)
        await pilot.press("2")
        await settle(pilot)
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await settle(pilot)
        lines = app.screen.query_one("#help", TextLines)
        assert lines.plain(0) == Where.SHARDS.value
        await pilot.press("G")
        await until(pilot, lambda: lines.scroll_y > 0)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, HelpScreen))
