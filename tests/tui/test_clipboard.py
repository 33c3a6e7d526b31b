"""Texts go to the clipboard of the user's terminal."""

import base64
import os

import pytest

from tui.clipboard import send


@pytest.fixture
def tmux(tmp_path, monkeypatch):
    """A `tmux` that keeps its input and its arguments, and ends with a given code."""

    def make(code):
        (tmp_path / "tmux").write_text(
            f'#!/bin/sh\ncat > "{tmp_path}/buffer"\necho "$@" > "{tmp_path}/words"\nexit {code}\n'
        )
        (tmp_path / "tmux").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return tmp_path

    return make


def test_outside_tmux_the_terminal_gets_osc_52():
    """In base64, so that no character of the text can end the sequence."""
    written = []
    assert send("é\x07\x1b", {}, written.append) == "sent to your terminal"
    prefix, _, rest = written[0].partition(";c;")
    assert prefix == "\x1b]52"
    assert base64.b64decode(rest.removesuffix("\a")).decode() == "é\x07\x1b"


def test_inside_tmux_its_own_command_gets_the_text(tmux):
    """Nothing is written to the terminal."""
    folder, written = tmux(0), []
    assert send("text", {"TMUX": "/run/tmux"}, written.append) == "sent to your terminal through tmux"
    assert (folder / "buffer").read_text() == "text"
    assert (folder / "words").read_text() == "load-buffer -w -\n"
    assert written == []


def test_a_tmux_that_fails_is_not_the_end(tmux):
    """The terminal may accept the text all the same."""
    tmux(1)
    written = []
    assert send("text", {"TMUX": "/run/tmux"}, written.append) == "sent to your terminal"
    assert len(written) == 1
