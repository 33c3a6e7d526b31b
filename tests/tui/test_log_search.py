"""A log is searched in the text that the user sees."""

import pytest

from tests.tui.sample_runs import CODEX
from tui.log_index import LogIndex
from tui.log_page import RowFormat
from tui.log_search import ERROR_IN_EVENTS, ERROR_IN_TEXT, counted, first_error, search


@pytest.fixture
def index_of(tmp_path):
    def make(content):
        path = tmp_path / "log"
        path.write_bytes(content)
        index = LogIndex(path)
        index.extend()
        return index

    return make


def test_search_wraps_around(index_of):
    """Forwards and backwards, with the position among all results."""
    index = index_of(b"one\ntwo\nOne more\n")

    def go(needle, line, step):
        found = search(index, needle, line, step, RowFormat())
        return None if found is None else counted(index, needle, found)

    assert go("ONE", 0, 1) == (2, 8, 2, 2)
    assert go("one", 2, 1) == (0, 0, 1, 2)
    assert go("one", 0, -1) == (2, 8, 2, 2)
    assert go("none", 0, 1) is None
    assert go("two", 1, 1) == (1, 4, 1, 1)


def test_search_in_events_searches_their_text(index_of):
    """Text that is only in the JSON is not found; text with quotes is."""
    index = index_of(CODEX + b'{"type":"error","message":"say \\"no\\""}\n')
    assert search(index, "cat two", 0, 1, RowFormat(events=True)).line == 2
    assert search(index, "exit_code", 0, 1, RowFormat(events=True)) is None
    assert search(index, 'say "no"', 0, 1, RowFormat(events=True)).line == 7


def test_first_error(index_of):
    """In text a word; in events a failed command or an error."""
    assert first_error(index_of(b"fine\nterror\nan ERROR: x\n"), ERROR_IN_TEXT) == 2
    assert first_error(index_of(b"fine\n"), ERROR_IN_TEXT) is None
    assert first_error(index_of(CODEX), ERROR_IN_EVENTS) == 4
