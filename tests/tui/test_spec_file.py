"""A specification from a file."""

import os

import pytest

from moonmind_appliance.errors import InvalidRequest
from moonmind_appliance.runs.submit import MAX_SPECIFY_BYTES
from tui.spec_file import read_specification


def test_the_text_is_read_as_it_is(tmp_path):
    """Without the mark that some editors put before it."""
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbf# A\r\n\tb\n")
    assert read_specification(tmp_path / "a.md") == "# A\r\n\tb\n"


@pytest.mark.parametrize(("content", "says"), [(b"x" * (MAX_SPECIFY_BYTES + 1), "larger than"), (b"ok \xff", "byte 3")])
def test_a_file_that_is_too_large_or_no_text_is_refused(tmp_path, content, says):
    """With where."""
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InvalidRequest, match=says):
        read_specification(tmp_path / "a")


def test_what_is_no_file_is_refused(tmp_path):
    """A folder, a named pipe, nothing, a name that cannot be."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none", tmp_path / "a\0b"):
        with pytest.raises(InvalidRequest):
            read_specification(path)
