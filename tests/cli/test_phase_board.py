"""Progress of the nine phases: a board on a terminal, a line per change elsewhere."""

import io

from rich.console import Console

from moonmind_appliance.cli.phase_board import PhaseBoard


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
