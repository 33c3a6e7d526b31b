"""Rules of the window on a log."""

from tui.log_page import Row, Rows
from tui.log_window import LogWindow


def window_of(*lines: int) -> LogWindow:
    window = LogWindow()
    window.replace(read(*lines))
    return window


def read(*lines: int) -> Rows:
    return Rows([Row(line, 0, f"line {line}") for line in lines], at_start=False, at_end=False)


def test_a_row_keeps_its_number_when_rows_are_read_before_it() -> None:
    """Rows that are read before a known row do not change its number."""
    window = window_of(10, 11)
    number = window.number_of(11)
    assert window.replace(read(8, 9, 10, 11))
    assert (window.number_of(11), window.line_of(number)) == (number, 11)


def test_rows_without_a_known_one_are_reported() -> None:
    """`replace` returns False if no row was in the window before."""
    assert not window_of(1, 2).replace(read(500, 501))


def test_numbers_outside_are_moved_to_the_nearest_row() -> None:
    """The top leaves no empty rows at the end of the screen, and a line without rows is the next one's."""
    window = window_of(1, 2, 4)
    assert window.line_of(window.number_of(3)) == 4
    assert window.line_of(window.top_for(window.last, height=2)) == 2
    assert (window.line_of(window.first - 5), window.line_of(window.last + 5)) == (1, 4)
    assert window.row(window.last + 1) is None


def test_the_whole_line_joins_wrapped_rows() -> None:
    """Each row of a wrapped line gives the text of the line."""
    window = LogWindow()
    window.replace(
        Rows(
            [Row(0, 0, "a"), Row(1, 0, "bb"), Row(1, 1, "cc", broken=True), Row(2, 0, "d")], at_start=True, at_end=True
        )
    )
    assert [window.whole_line(window.first + index) for index in range(5)] == ["a", "bbcc", "bbcc", "d", ""]
