"""The whole app on a real terminal: signals, colours, keys that are typed ahead."""

import re
import signal

import pytest

from moonmind_appliance.models import RunStatus
from tests.tui.terminal import opened

ENTER = "\r"


def test_a_key_typed_ahead_of_a_question_answers_it(prepared):
    """`x` and `y` in one burst."""
    attached, runs, environment = prepared
    with opened(environment) as terminal:
        terminal.wait("6 runs")
        terminal.type("jxy")
        terminal.wait("is cancelled.")
        assert attached.store.runs.get(runs["queued"].run_id).status is RunStatus.CANCELLED


def test_nothing_is_written_while_nothing_changes(prepared):
    """On the list and on a run's page."""
    _, _, environment = prepared
    with opened(environment) as terminal:
        terminal.wait("serve: not running")
        terminal.quiet(3)
        assert terminal.read(12) == 0
        terminal.type(f"G{ENTER}")
        terminal.wait("SUCCEEDED")
        terminal.quiet(3)
        assert terminal.read(12) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal(prepared, number):
    """Mouse reporting is off again."""
    _, _, environment = prepared
    with opened(environment) as terminal:
        terminal.wait("6 runs")
        assert terminal.modes != set()
        terminal.signal(number)
        assert terminal.ended() == 0
        assert terminal.modes == set()


def test_without_colour_no_colour_is_sent(prepared):
    """Only bold, underline and reverse are used; NO_COLOR selects this theme."""
    _, _, environment = prepared
    with opened({**environment, "NO_COLOR": "1"}) as terminal:
        terminal.wait("6 runs")
        terminal.type("jj")
        terminal.quiet(1)
        sent = {
            code for codes in re.findall(rb"\x1b\[([0-9;]*)m", bytes(terminal.written)) for code in codes.split(b";")
        }
        # Reset, bold, dim, italic, underline, reverse, and the terminal's own two colours.
        assert sent <= {b"", b"0", b"1", b"2", b"3", b"4", b"7", b"39", b"49"}
        assert b"7" in sent
