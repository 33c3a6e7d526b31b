"""Which terminal can show the interface, and which theme suits it."""

import pytest

from tui.terminal import ThemeName, terminal_problem, theme_of


class Stream:
    def __init__(self, *, tty=True, encoding="utf-8"):
        self.tty, self.encoding = tty, encoding

    def isatty(self):
        return self.tty


@pytest.mark.parametrize(
    ("streams", "term", "says"),
    [
        ((Stream(), Stream(), Stream()), "xterm-256color", ""),
        ((Stream(tty=False), Stream(), Stream()), "xterm", "standard input is not one"),
        ((Stream(), Stream(tty=False), Stream()), "xterm", "standard output is not one"),
        ((Stream(), Stream(), Stream(tty=False)), "xterm", "standard error is not one"),
        ((Stream(), Stream(), Stream()), "dumb", "TERM is dumb"),
        ((Stream(), Stream(), Stream()), "", "TERM is not set"),
        ((Stream(), Stream(), Stream(encoding="ISO-8859-1")), "xterm", "the encoding is ISO-8859-1"),
    ],
)
def test_an_unsuitable_terminal_is_refused(streams, term, says):
    """With one sentence."""
    problem = terminal_problem(*streams, {"TERM": term})
    assert says in problem
    assert bool(problem) == bool(says)


@pytest.mark.parametrize(
    ("environment", "chosen", "theme"),
    [
        ({}, None, ThemeName.DARK),
        ({"NO_COLOR": "1"}, None, ThemeName.NONE),
        ({"COLORFGBG": "0;15"}, None, ThemeName.LIGHT),
        ({"COLORFGBG": "15;0"}, None, ThemeName.DARK),
        ({"NO_COLOR": "1"}, "light", ThemeName.LIGHT),
    ],
)
def test_theme(environment, chosen, theme):
    """The option first, then NO_COLOR, then the background that the terminal reports."""
    assert theme_of(environment, chosen) is theme
