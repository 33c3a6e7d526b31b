"""Log lines as rows: cleaned, wrapped or cut, and Codex's events as text, around any position."""

import pytest
from rich.cells import cell_len

from tests.tui.sample_runs import CODEX
from tui.log_index import LogIndex
from tui.log_page import WIDEST, RowFormat, broken, rows_around, rows_of


@pytest.fixture
def index_of(tmp_path):
    def make(content):
        path = tmp_path / "log"
        path.write_bytes(content)
        index = LogIndex(path)
        index.extend()
        return index

    return make


def test_a_line_is_cleaned():
    """It contains nothing that could control or deceive the terminal."""
    rows = rows_of(7, b"a\x1b[2J\tb\xe2\x80\xaec\xe2\x80\x8b\x00 \xff\r", RowFormat())
    assert [(row.line, row.part, row.text) for row in rows] == [(7, 0, "a    bc \N{REPLACEMENT CHARACTER}")]


@pytest.mark.parametrize("text", ["", "abc", "a" * 100, "\u6f22\u5b57" * 40, "e\u0301" * 30, "x" * 99 + "\u6f22"])
def test_wrapping_keeps_every_character(text):
    """Each part fits the width."""
    parts = broken(text, 10)
    assert "".join(parts) == text
    assert all(cell_len(part) <= 10 for part in parts)
    assert parts


def test_a_long_line_is_cut_unless_it_is_wrapped():
    """The row names the key that wraps it."""
    line = b"x" * (WIDEST + 5)
    (row,) = rows_of(0, line, RowFormat())
    assert row.text.endswith("w breaks the line")
    parts = rows_of(0, line, RowFormat(width=100))
    assert sum(len(part.text) for part in parts) == WIDEST + 5
    assert [part.broken for part in parts[:2]] == [False, True]


def test_an_event_becomes_rows_or_none():
    """Its parts are numbered."""
    lines = CODEX.splitlines()
    assert rows_of(0, lines[0], RowFormat(events=True)) == []
    assert [(row.part, row.text) for row in rows_of(1, lines[1], RowFormat(events=True))] == [
        (0, "$ cat one.md  → 0"),
        (1, "  text of one"),
    ]


@pytest.mark.parametrize("line", [0, 1, 150, 299, 300])
def test_rows_around_a_line(index_of, line):
    """As many as requested, in order and without a gap; both ends are recognized."""
    index = index_of(b"".join(b"%d\n" % number for number in range(300)))
    read = rows_around(index, line, 20, 30, RowFormat())
    numbers = [row.line for row in read.rows]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[0] <= max(0, line - 20)
    assert numbers[-1] >= min(299, line + 29)
    assert read.at_start == (numbers[0] == 0)
    assert read.at_end == (numbers[-1] == 299)


def test_events_without_text_are_skipped(index_of):
    """Any number of them."""
    quiet = b'{"type":"item.started","item":{}}\n' * 5_000
    index = index_of(b'{"type":"error","message":"first"}\n' + quiet + b'{"type":"error","message":"last"}\n')
    read = rows_around(index, 2_500, 5, 5, RowFormat(events=True))
    assert [row.text for row in read.rows] == ["! first", "! last"]
    assert read.at_start
    assert read.at_end
