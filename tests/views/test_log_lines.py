"""The lines of a log: none is lost or read twice, and none is too long."""

from hypothesis import given
from hypothesis import strategies as st

from moonmind_appliance.views.log_lines import LONGEST_LINE, split_lines


@given(st.binary(max_size=300), st.booleans())
def test_lines_take_all_bytes_up_to_the_last_break(data: bytes, whole: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """No byte is lost and none is read twice."""
    taken = sum(size for _, size in split_lines(data, whole=whole))
    assert taken == (len(data) if whole else data.rfind(b"\n") + 1)


def test_a_very_long_line_comes_in_pieces_of_whole_characters() -> None:
    """An endless line does not fill the memory; no character is cut."""
    text = "x" + "ä€😀" * 30_000
    pieces = [piece for piece, _ in split_lines(text.encode(), whole=True)]
    assert "".join(pieces) == text
    assert max(len(piece.encode()) for piece in pieces) <= LONGEST_LINE
