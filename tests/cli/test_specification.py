"""The option --spec reads a file in the same way for every command."""

import codecs
from pathlib import Path

import pytest

from moonmind_appliance.cli.exits import CommandFailed
from moonmind_appliance.cli.specification import read_specification
from tests.cli.terminal import Terminal


def test_the_file_is_read_without_its_byte_order_mark(tmp_path: Path) -> None:
    """Line breaks are unchanged."""
    (tmp_path / "a.md").write_bytes(codecs.BOM_UTF8 + b"# A\r\n\tb\n")
    assert read_specification(tmp_path / "a.md") == "# A\r\n\tb\n"


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    """The command refuses it without reading all of it into memory."""
    with (tmp_path / "a.md").open("wb") as file:
        file.truncate(64 * 1024**3)
    with pytest.raises(CommandFailed, match="larger than 256 KiB"):
        read_specification(tmp_path / "a.md")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("# Due dates".encode("utf-16"), "The specification - is in UTF-16. Save it as text in UTF-8."),
        (b"caf\xe9", "The specification - is not valid UTF-8 (at byte 3)."),
        (codecs.BOM_UTF8 + "\u200b\n".encode(), "specify_text: Must not be blank"),
    ],
)
@pytest.mark.usefixtures("served")
def test_submit_and_rehearse_refuse_the_same_files(terminal: Terminal, content: bytes, words: str) -> None:
    """With the same message and the exit code of an invalid request; nothing is started."""
    submitted = terminal.call("runs", "submit", "--repository", "acme/shop", "--spec", "-", stdin=content)
    rehearsed = terminal.call("rehearse", "--spec", "-", stdin=content, DOCKER_HOST="unix:///none.sock")
    assert (submitted.code, rehearsed.code) == (2, 2)
    assert words in rehearsed.stderr
    assert submitted.stderr == rehearsed.stderr
