"""The index of a log gives the same lines and positions as reading the whole file."""

import random
import re
from pathlib import Path

import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.views.log_lines import LONGEST_LINE
from tui.log_index import BLOCK, LogIndex

RANDOM = random.Random(1)  # noqa: S311 - test data
LOGS = {
    "empty": b"",
    "one": b"only",
    "ended": b"a\nb\n",
    "growing": b"a\nb\nc",
    "blank": b"\n\n\n",
    "short": b"".join(b"%d\n" % number for number in range(100_000)),
    "edge": b"x" * (BLOCK - 1) + b"\n" + b"y" * BLOCK + b"\nz\n",
    "long": b"a\n" + b"b" * (3 * BLOCK + 17) + b"\nc\n" + b"d" * (2 * LONGEST_LINE),
    "mixed": b"\n".join(b"q" * RANDOM.randrange(0, 9000) for _ in range(400)),
}


def lines_of(log: bytes) -> list[bytes]:
    lines = log.split(b"\n")
    return [line[:LONGEST_LINE] for line in (lines if lines[-1] else lines[:-1])]


@pytest.fixture(params=LOGS)
def log(request: pytest.FixtureRequest) -> bytes:
    return LOGS[request.param]


@pytest.fixture
def index(tmp_path: Path, log: bytes) -> LogIndex:
    path = tmp_path / "log"
    path.write_bytes(log)
    index = LogIndex(path)
    index.extend()
    return index


def test_lines(index: LogIndex, log: bytes) -> None:
    """Every line is found, alone and in ranges; a long one is cut."""
    expected = lines_of(log)
    assert index.line_count == len(expected)
    for first in [0, 1, 2, 3, 99, 255, 256, 65_535, len(expected) - 1]:
        if 0 <= first < len(expected):
            assert index.read(first, 3) == expected[first : first + 3]
    assert index.read(0, len(expected) + 10) == expected


def test_offsets(index: LogIndex, log: bytes) -> None:
    """A line's offset is the byte after the previous newline, and that byte belongs to the line."""
    starts = [0, *(match.end() for match in re.finditer(rb"\n", log))]
    for line in RANDOM.sample(range(len(starts)), min(len(starts), 200)):
        assert index.offset_of(line) == starts[line]
        if starts[line] < len(log):
            assert index.line_at(starts[line]) == line
    assert index.offset_of(len(starts) + 5) == len(log)


def test_growing(tmp_path: Path, log: bytes) -> None:
    """An index that was extended in pieces of any size equals one that was built at once."""
    path = tmp_path / "log"
    path.touch()
    index = LogIndex(path)
    with path.open("ab", buffering=0) as file:
        place = 0
        while place < len(log):
            size = RANDOM.randrange(1, 200_000)
            file.write(log[place : place + size])
            place += size
            assert index.extend()
            assert not index.extend()
            assert index.line_count == len(lines_of(log[:place]))
    assert index.read(0, 10**6) == lines_of(log)


@pytest.mark.parametrize("place", [0, 5, 1024 * 1024 - 3, 1024 * 1024, 3 * 1024 * 1024 - 1])
def test_search(tmp_path: Path, place: int) -> None:
    """A text is found in both directions, ignoring case, also across the edge of a piece."""
    log = bytearray(b"." * 4 * 1024 * 1024)
    log[place : place + 6] = b"NeeDle"
    path = tmp_path / "log"
    path.write_bytes(log)
    index = LogIndex(path)
    index.extend()
    assert index.search(b"needle", 0) == place
    assert index.search(b"nEEDLE", place) == place
    assert index.search(b"needle", place + 1) is None
    assert index.search(b"needle", len(log), forward=False) == place
    assert index.search(b"needle", place + 1, forward=False) == place
    assert index.search(b"needle", place, forward=False) is None
    assert index.find(re.compile(rb"(?i)needle")) == place
    assert index.count(b"needle") == 1
    assert index.count(b"needle", before=place) == 0


def test_part(tmp_path: Path) -> None:
    """A big log can be opened with its first bytes, and indexed to its end later."""
    path = tmp_path / "log"
    path.write_bytes(LOGS["short"])
    index = LogIndex(path)
    assert index.extend(most_bytes=1000)
    assert index.size == 1000
    assert index.read(0, 2) == [b"0", b"1"]
    assert index.extend()
    assert index.line_count == 100_000


def test_missing(tmp_path: Path) -> None:
    """A missing log is reported."""
    with pytest.raises(StoreError, match="cannot be read"):
        LogIndex(tmp_path / "none")


def test_closed(tmp_path: Path) -> None:
    """A closed log returns no bytes, and can be closed again."""
    path = tmp_path / "log"
    path.write_bytes(b"a\n")
    index = LogIndex(path)
    index.extend()
    index.close()
    index.close()
    assert not index.extend()
