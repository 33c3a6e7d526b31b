"""The help: every key, the exit codes, and how to copy."""

import pytest

from moonmind_appliance.cli.exits import MEANINGS
from tests.tui.attached import settle, until
from tui.help_text import help_lines
from tui.keys import KEYS, Where
from tui.screens.help import HelpScreen
from tui.signs import DARK
from tui.text_lines import TextLines

CODES = [(code.value, meaning) for code, meaning in MEANINGS.items()]


def texts(width=80, first=None):
    return [line.plain for line in help_lines(DARK, width, first, CODES)]


def test_every_key_is_explained():
    """With how it is written and what it does."""
    text = "\n".join(" ".join(line.split()) for line in texts(width=400))
    for keys in KEYS.values():
        for key in keys:
            assert f"{key.shown} {key.help}" in text


def test_every_exit_code_is_explained():
    """As the manual explains it."""
    text = " ".join(" ".join(texts()).split())
    for code, meaning in CODES:
        assert f"{code} {meaning}" in text


def test_it_says_what_copying_needs_inside_tmux():
    """Where the terminal gets nothing."""
    assert "set -s set-clipboard on" in " ".join(texts(width=200))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_cut_off(width):
    """Long sentences go on in the next line, below themselves."""
    assert max(map(len, texts(width))) <= width


def test_the_keys_of_the_screen_below_come_first():
    """They are what was looked for."""
    assert texts(first=Where.SHARDS)[0] == Where.SHARDS.value
    assert texts()[0] == next(iter(Where)).value


@pytest.mark.anyio
@pytest.mark.parametrize("key", ["question_mark", "f1", "4"])
async def test_a_key_opens_it_and_escape_closes_it(attached, key):
    """From any screen; it begins with that screen's keys."""
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
