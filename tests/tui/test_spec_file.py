"""Reading a specification from a file."""

import os

import pytest

from moonmind_appliance.errors import InvalidRequest
from moonmind_appliance.runs.submit import MAX_SPECIFY_BYTES
from tui.spec_file import read_specification


def test_the_text_is_read_unchanged(tmp_path):
    """Without a byte order mark."""
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbf# A\r\n\tb\n")
    assert read_specification(tmp_path / "a.md") == "# A\r\n\tb\n"


@pytest.mark.parametrize(("content", "says"), [(b"x" * (MAX_SPECIFY_BYTES + 1), "larger than"), (b"ok \xff", "byte 3")])
def test_a_file_that_is_too_large_or_not_text_is_refused(tmp_path, content, says):
    """The message names the position."""
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InvalidRequest, match=says):
        read_specification(tmp_path / "a")


def test_anything_but_a_file_is_refused(tmp_path):
    """A folder, a named pipe, a missing file, an invalid name."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none", tmp_path / "a\0b"):
        with pytest.raises(InvalidRequest):
            read_specification(path)
