"""Text that is drawn by hand: table rows, phase bars, sentences, times; keys and terminals. Pure functions."""

from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from moonmind_appliance.models import PHASE_ORDER, PhaseName, PhaseStatus, RunStatus, WaitReason
from moonmind_appliance.units import size
from moonmind_appliance.views.run_detail import PhaseDetail
from moonmind_appliance.views.run_summary import CreatedBy, RunRow, RunSummary, WaitingForDetail
from tui.explain import outcome_text, short_waiting_text, waiting_text
from tui.keys import KEYS, Where, bindings, blocked_while_typing
from tui.runs_table import columns, heading, row_text
from tui.signs import DARK, NO_COLOUR, PHASE_SIGNS, RUN_SIGNS
from tui.terminal import ThemeName, terminal_problem, theme_of
from tui.text import age, clean, clock, countdown, fit, length, right
from tui.timeline import bar, phase_text

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def summary(**fields):
    known = {
        "run_id": "0f3a9c1e-0000-4000-8000-000000000000",
        "external_ref": None,
        "repository": "acme/shop",
        "base_branch": "main",
        "dry_run": False,
        "status": RunStatus.QUEUED,
        "waiting_for": None,
        "branch_name": None,
        "pull_request_url": None,
        "result_summary": None,
        "failure": None,
        "clarifications": [],
        "shard": None,
        "created_by": CreatedBy("u", "ada"),
        "accepted_at": NOW - timedelta(minutes=12),
        "started_at": None,
        "completed_at": None,
    }
    return RunSummary(**(known | fields))


@pytest.mark.parametrize("width", [60, 79, 80, 119, 120, 159, 160, 200])
def test_a_row_fills_its_width_exactly(width):
    """With any content, and aligned with the heading."""
    long = "\u6f22\u5b57" * 40
    for run in (summary(), summary(repository=long, external_ref=long, base_branch=long, dry_run=True)):
        text = row_text(RunRow(run, (PhaseStatus.PENDING,) * 9), width, NOW, DARK)
        assert text.cell_len == width
    assert cell_len(heading(width)) == width


def test_wide_tables_have_more_columns():
    """Branch and user from 112 cells on, the external reference from 150 on."""
    names = {width: {column.name for column in columns(width)} for width in (80, 120, 160)}
    assert names[120] - names[80] == {"branch", "user"}
    assert names[160] - names[120] == {"ref"}


def test_every_state_has_a_sign_of_one_cell_and_a_word():
    """No two states look the same without colour."""
    for signs, states in ((RUN_SIGNS, RunStatus), (PHASE_SIGNS, PhaseStatus)):
        assert set(signs) == set(states)
        assert len({(sign.mark, sign.word) for sign in signs.values()}) == len(states)
        assert all(cell_len(sign.mark) == 1 for sign in signs.values())
    assert all(style.color is None and style.bgcolor is None for style in NO_COLOUR)


@pytest.mark.parametrize(("share", "shown"), [(0, "    "), (0.01, "╸   "), (0.5, "━━  "), (0.6, "━━╸ "), (1, "━━━━")])
def test_bar(share, shown):
    """In halves of a cell; the shortest bar is visible."""
    assert bar(share, 4) == shown


@pytest.mark.parametrize("width", [20, 44, 79])
def test_a_phase_fits_its_width(width):
    """Also with an attempt number."""
    phase = PhaseDetail(PhaseName.START_JOB_CONTAINER, PhaseStatus.RUNNING, 3, NOW, None, None, None, {})
    text = phase_text(phase, 60, width, NOW + timedelta(minutes=3), DARK)
    assert "3m" in text.plain
    if width > 40:
        assert text.cell_len == width
        assert "try 3" in text.plain


def test_waiting_runs_show_the_reason_and_the_time():
    """Shorter in the table."""
    waiting = WaitingForDetail(WaitReason.QUOTA, NOW + timedelta(hours=2, minutes=5))
    assert waiting_text(waiting, NOW) == "Waits for quota until 14:05 (2 h 5 min)."
    assert short_waiting_text(waiting, NOW) == "quota 14:05"
    assert waiting_text(None, NOW) == "Waits for its turn."


def test_a_queued_run_shows_that_serve_is_not_running():
    """Without `serve` it does not start."""
    phases = (PhaseStatus.PENDING,) * len(PHASE_ORDER)
    assert "`serve` is not running" in outcome_text(summary(), phases, NOW, serve_is_running=False)
    assert "`serve` is not running" not in outcome_text(summary(), phases, NOW, serve_is_running=None)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(5, "<1m"), (59, "<1m"), (60, "1m"), (3599, "59m"), (3600, "1h"), (172_800, "2d")]
)
def test_ages_change_by_the_minute(seconds, shown):
    """Never by the second: nothing is repainted while nothing changes."""
    assert age(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "now"), (1, "10 s"), (10, "10 s"), (11, "20 s"), (60, "60 s"), (61, "2 min"), (7_500, "2 h 5 min")],
)
def test_countdowns(seconds, shown):
    """Every ten seconds in the last minute."""
    assert countdown(seconds) == shown


def test_lengths_sizes_and_clocks():
    """In common units."""
    assert [length(seconds) for seconds in (0.44, 42, 110, 7_800)] == ["0.4s", "42s", "1m50s", "2h10m"]
    assert [size(count) for count in (812, 4_300, 1 << 31)] == ["812 B", "4.2 KiB", "2.0 GiB"]
    assert clock(NOW, NOW) == "12:00"
    assert clock(NOW - timedelta(days=1), NOW) == "Sat 12:00"
    assert clock(NOW - timedelta(days=90), NOW) == "2025-12-01 12:00"


def test_fitting_counts_cells():
    """Wide characters count as two."""
    assert fit("\u6f22\u5b57", 3) == "\u6f22…"
    assert fit("ab", 4) == "ab  "
    assert right("12", 4) == "  12"
    assert clean("a\x1b]0;title\x07\tb\u202e") == "a    b"


def test_no_key_has_two_meanings_on_one_screen():
    """Including the keys that work everywhere."""
    for where, keys in KEYS.items():
        used = [name for key in keys for name in key.keys.split(",")]
        assert len(used) == len(set(used)), where
    for where in (Where.RUNS, Where.RUN, Where.SHARDS, Where.CHECKS):
        own = {name: key.action.removeprefix("app.") for key in KEYS[where] for name in key.keys.split(",")}
        everywhere = {name: key.action for key in KEYS[Where.EVERYWHERE] for name in key.keys.split(",")}
        assert {name for name in own.keys() & everywhere.keys() if own[name] != everywhere[name]} == set()
    both = [name for where in (Where.RUN, Where.LOG) for key in KEYS[where] for name in key.keys.split(",")]
    assert len(both) == len(set(both))


def test_every_key_is_explained():
    """With a sentence; each binding has an id."""
    for where, keys in KEYS.items():
        assert all(key.help.endswith(".") for key in keys)
        assert len({binding.id for binding in bindings(where)}) == len(keys)


def test_letters_are_blocked_while_typing_and_others_are_not():
    """A filter can contain an x."""
    assert blocked_while_typing(Where.RUNS, "cancel_run")
    assert not blocked_while_typing(Where.RUNS, "clear")
    assert not blocked_while_typing(Where.EVERYWHERE, "help")


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
