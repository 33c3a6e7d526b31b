"""Bytes that are not text in UTF-8 are named."""

import bz2
import codecs
import gzip
import lzma
import zlib

import pytest

from moonmind_appliance.text_encoding import other_form

TEXT = "# Due dates\n"


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (TEXT.encode("utf-16"), "in UTF-16"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "in UTF-16"),
        (TEXT.encode("utf-16-le"), "in UTF-16"),
        (TEXT.encode("utf-16-be"), "in UTF-16"),
        (TEXT.encode("utf-32"), "in UTF-32"),
        (codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"), "in UTF-32"),
        (TEXT.encode("utf-32-le"), "in UTF-32"),
        (TEXT.encode("utf-32-be"), "in UTF-32"),
        (gzip.compress(TEXT.encode(), mtime=0), "compressed with gzip"),
        (zlib.compress(TEXT.encode() * 99), "compressed with deflate"),
        (zlib.compress(TEXT.encode(), 9), "compressed with deflate"),
        (bz2.compress(TEXT.encode()), "compressed with bzip2"),
        (lzma.compress(TEXT.encode()), "compressed with xz"),
        (b"\x28\xb5\x2f\xfd\x04", "compressed with zstd"),
        (b"PK\x03\x04word/document.xml", "a ZIP archive"),
        (b"%PDF-1.7\n", "a PDF file"),
    ],
)
def test_another_form_is_named(content: bytes, form: str) -> None:
    """By its first bytes."""
    assert other_form(content) == form


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"x\x01y",
        b"x^2",
        TEXT.encode(),
        codecs.BOM_UTF8 + b"{}",
        b"\x00\x00",
        b"a\x00b",
        b"a\x00bc",
        b"\x00abc",
    ],
)
def test_what_may_be_text_in_utf8_has_no_other_form(content: bytes) -> None:
    """Text that begins like a compressed file, too."""
    assert other_form(content) == ""
