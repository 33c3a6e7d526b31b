"""The help: every key, the exit codes, and how to copy."""

import pytest

from moonmind_appliance.cli.exits import MEANINGS
from tui.help_text import help_lines
from tui.keys import KEYS, Where
from tui.signs import DARK

CODES = [(code.value, meaning) for code, meaning in MEANINGS.items()]


def texts(width=80, first=None):
    return [line.plain for line in help_lines(DARK, width, first, CODES)]


def test_every_key_is_explained():
    """Each key has its name and its effect."""
    text = "\n".join(" ".join(line.split()) for line in texts(width=400))
    for keys in KEYS.values():
        for key in keys:
            assert f"{key.shown} {key.help}" in text


def test_every_exit_code_is_explained():
    """With the meaning from the manual."""
    text = " ".join(" ".join(texts()).split())
    for code, meaning in CODES:
        assert f"{code} {meaning}" in text


def test_copying_inside_tmux_is_explained():
    """Without the option the terminal receives nothing."""
    assert "set -s set-clipboard on" in " ".join(texts(width=200))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_cut_off(width):
    """Long sentences are wrapped in their own column."""
    assert max(map(len, texts(width))) <= width


def test_the_keys_of_the_screen_below_come_first():
    """Those are the keys that the user wants to know."""
    assert texts(first=Where.SHARDS)[0] == Where.SHARDS.value
    assert texts()[0] == next(iter(Where)).value
