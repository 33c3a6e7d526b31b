"""The format of terminal output."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from moonmind_appliance.cli.phase_board import PhaseBoard
from moonmind_appliance.cli.prompt_panel import qr_code
from moonmind_appliance.cli.terminal import ago, clean, line
from moonmind_appliance.units import duration, size

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain\ttext\nand more", "plain\ttext\nand more"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07bell\x07", "bell"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("back\x08\x08\rover\x9b2J", "backover2J"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("\u2066isolated\u2069", "isolated"),
        ("zero\u200bwidth\u2060joined\ufeff", "zerowidthjoined"),
        ("tag\U000e0041s", "tags"),
        ("two\u2028lines", "two\nlines"),
    ],
)
def test_external_text_cannot_control_the_terminal(text: str, expected: str) -> None:
    """Escape sequences and control characters are removed; tabs and line breaks stay."""
    assert clean(text) == expected


def test_line_is_one_line() -> None:
    """Each run of white space becomes one space."""
    assert line("  a\n\nb\tc ") == "a b c"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (75, "1 m 15 s"), (7500, "2 h 05 m"), (400000, "4 d")],
)
def test_spans_have_one_or_two_units(seconds: float, expected: str) -> None:
    """A duration has one or two units."""
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        (timedelta(seconds=5), "5 s ago"),
        (timedelta(minutes=-80), "in 80 m"),
        (timedelta(days=-90, seconds=3), "in 90 d"),
        (timedelta(hours=30), "30 h ago"),
    ],
)
def test_ago_is_coarse(delta: timedelta, expected: str) -> None:
    """The largest suitable unit, for the past and the future."""
    assert ago(NOW - delta, NOW) == expected


def test_size_has_the_unit_that_fits() -> None:
    """Units are powers of 1024."""
    assert [size(812), size(4300), size(5 * 1024**2), size(3 * 1024**3)] == ["812 B", "4.2 KiB", "5.0 MiB", "3.0 GiB"]


def board_on(*, terminal: bool) -> tuple[PhaseBoard, io.StringIO, list[float]]:
    written, now = io.StringIO(), [0.0]
    console = Console(file=written, force_terminal=terminal, width=80, color_system=None)
    return PhaseBoard(console, clock=lambda: now[0]), written, now


def test_a_pipe_gets_a_line_for_each_change() -> None:
    """Unchanged states are not printed again."""
    board, written, now = board_on(terminal=False)
    with board.live():
        for _ in range(3):
            board.phase("git_clone", "running", 1)
        now[0] = 2.5
        board.phase("git_clone", "succeeded", 1)
        board.phase("speckit_plan", "failed", 2, seconds=75)
    assert [text.split("s  ", 1)[1] for text in written.getvalue().splitlines()] == [
        "git_clone running",
        "git_clone succeeded in 2.5 s",
        "speckit_plan failed (attempt 2) in 1 m 15 s",
    ]


def test_a_terminal_gets_the_board_of_all_nine() -> None:
    """It is redrawn in place, with pending phases."""
    board, written, _ = board_on(terminal=True)
    with board.live():
        board.phase("prepare_job", "succeeded", 1, seconds=0.2)
        board.headline("1a2b queued, waits for login")
    last = written.getvalue()
    assert "✔ prepare_job" in last
    assert "· cleanup" in last
    assert "waits for login" in last


def test_a_qr_code_is_square_enough() -> None:
    """Half blocks: two rows of modules per line, with a quiet zone."""
    rows = qr_code("https://auth.openai.com/codex/device").plain.splitlines()
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(rows) == (len(rows[0]) + 1) // 2
    assert set("".join(rows)) <= set("█▀▄ ")
