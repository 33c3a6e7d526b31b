"""Lines of a log, forwards and backwards, without gap or overlap, and without reading the rest of the file."""

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.errors import NotFound
from moonmind_appliance.views.log_lines import LONGEST_LINE, LogLine, line_start, lines_before, lines_from

PATH = "runs/r1/artifacts/plan.stdout.log"


@pytest.fixture
def files(tmp_path: Path) -> ArtifactFiles:
    (tmp_path / PATH).parent.mkdir(parents=True)
    return ArtifactFiles(tmp_path)


def write(files: ArtifactFiles, data: bytes) -> None:
    (files._data / PATH).write_bytes(data)


def forwards(files: ArtifactFiles, limit: int, *, whole: bool = True) -> list[LogLine]:
    found: list[LogLine] = []
    while page := lines_from(files, PATH, found[-1].end if found else 0, limit=limit, whole=whole).lines:
        assert len(page) <= limit
        found += page
    return found


def backwards(files: ArtifactFiles, limit: int, *, whole: bool = True) -> list[LogLine]:
    found: list[LogLine] = []
    while page := lines_before(files, PATH, found[0].start if found else None, limit=limit, whole=whole).lines:
        assert len(page) <= limit
        found = [*page, *found]
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(alphabet="aé🌙\r", max_size=5)), st.booleans(), st.integers(1, 4))
def test_both_ways(files: ArtifactFiles, lines: list[str], ends: bool, limit: int) -> None:  # noqa: FBT001 - hypothesis
    """Both directions give the same lines, page by page, each with its offset."""
    data = "\n".join(lines).encode() + (b"\n" if ends else b"")
    write(files, data)
    found = forwards(files, limit)
    assert found == backwards(files, limit)
    assert b"".join(data[line.start : line.end] for line in found) == data
    for line in found:
        taken = data[line.start : line.end]
        text = taken.decode()
        assert line.text == (text[:-1].removesuffix("\r") if text.endswith("\n") else text)
        assert all(line_start(files, PATH, place) == line.start for place in range(line.start, line.end))


def test_unfinished_last_line(files: ArtifactFiles) -> None:
    """While the file grows, a last line without its line break is not returned."""
    write(files, b"one\ntwo\nthr")
    assert [line.text for line in forwards(files, 9, whole=False)] == ["one", "two"]
    assert [line.text for line in backwards(files, 9, whole=False)] == ["one", "two"]
    assert [line.text for line in backwards(files, 9)] == ["one", "two", "thr"]
    write(files, b"one\ntwo\nthree\n")
    assert [line.text for line in lines_from(files, PATH, 8, whole=False).lines] == ["three"]


def test_long_lines(files: ArtifactFiles) -> None:
    """A line of any length is split into pieces of whole characters, in both directions, with no byte lost."""
    text = "🌙" * 200_000
    write(files, f"first\n{text}\nlast\n".encode())
    for found in (forwards(files, 3), backwards(files, 3)):
        assert (found[0].text, found[-1].text) == ("first", "last")
        assert "".join(line.text for line in found[1:-1]) == text
        assert max(line.end - line.start for line in found) <= LONGEST_LINE + 1
        assert all(one.end == two.start for one, two in pairwise(found))


def test_a_large_log_is_not_read(files: ArtifactFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first, the last and the middle lines of 100 MB cost a block each."""
    with (files._data / PATH).open("wb") as file:
        file.write(b"first\n")
        file.truncate(50_000_000)
        file.seek(50_000_000)
        file.write(b"\nmiddle\n")
        file.truncate(100_000_000)
        file.seek(100_000_000)
        file.write(b"\n" + b"last\n" * 50)
    taken: list[int] = []
    read = os.pread

    def counting(file: int, size: int, place: int) -> bytes:
        data = read(file, size, place)
        taken.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counting)
    assert lines_from(files, PATH, limit=1).lines[0].text == "first"
    assert {line.text for line in lines_before(files, PATH, limit=50).lines} == {"last"}
    start = line_start(files, PATH, 50_000_003)
    assert lines_from(files, PATH, start, limit=1).lines[0].text == "middle"
    assert sum(taken) <= 6 * 256 * 1024


def test_beyond_the_end(files: ArtifactFiles) -> None:
    """A place after the end, as of a file that became shorter, counts as its end."""
    write(files, b"one\ntwo\n")
    assert lines_from(files, PATH, 99).lines == ()
    assert [line.text for line in lines_before(files, PATH, 99).lines] == ["one", "two"]
    assert line_start(files, PATH, 99) == 4
    write(files, b"")
    assert (lines_before(files, PATH).lines, line_start(files, PATH, 5)) == ((), 0)


@pytest.mark.parametrize("path", ["runs/r1/artifacts/gone.log", "../secret", "runs/../../etc/passwd"])
def test_no_such_log(files: ArtifactFiles, path: str) -> None:
    """A file that is gone, or outside of the artifacts, is not found."""
    with pytest.raises(NotFound) as refusal:
        lines_from(files, path)
    assert refusal.value.code == "artifact_gone"
