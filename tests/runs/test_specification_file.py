"""How a file becomes the text of a specification."""

import codecs
import gzip

import pytest

from moonmind_appliance.errors import InvalidRequest
from moonmind_appliance.runs.specification_file import decode_specification


@pytest.mark.parametrize("text", ["a\r\nb\n", "# Gr\u00f6\u00dfe", "", "\u200b", "a\ufeff"])
def test_the_text_is_that_of_the_file(text: str) -> None:
    """No line break or character is changed; a byte order mark at the start is not part of the text."""
    assert decode_specification(text.encode(), "x") == text
    assert decode_specification(codecs.BOM_UTF8 + text.encode(), "x") == text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("# Due dates".encode("utf-16"), "a.md is in UTF-16. Save it as text in UTF-8."),
        (gzip.compress(b"# Due dates", mtime=0), "a.md is compressed with gzip. Save it as text in UTF-8."),
        (b"caf\xe9", "a.md is not valid UTF-8 (at byte 3). Save it as text in UTF-8."),
        (codecs.BOM_UTF8 + b"caf\xe9", "a.md is not valid UTF-8 (at byte 6). Save it as text in UTF-8."),
    ],
)
def test_another_encoding_is_named(content: bytes, words: str) -> None:
    """The appliance does not guess an encoding."""
    with pytest.raises(InvalidRequest) as caught:
        decode_specification(content, "a.md")
    assert str(caught.value) == words
