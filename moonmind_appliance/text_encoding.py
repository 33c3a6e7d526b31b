"""Recognizes bytes that are not UTF-8 text: another encoding, or a compressed file."""

import codecs

# By the first bytes. UTF-32 comes before UTF-16, because its mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "in UTF-32"),
    (codecs.BOM_UTF32_BE, "in UTF-32"),
    (codecs.BOM_UTF16_LE, "in UTF-16"),
    (codecs.BOM_UTF16_BE, "in UTF-16"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"%PDF-", "a PDF file"),
)
_EXAMINED = 200
# zlib's header for its usual window and each level (RFC 1950). Text may begin with `x^`, so UTF-8 is excluded first.
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


def other_form(content: bytes) -> str:
    """What the content is instead of UTF-8 text, worded to follow "is"; "" if it may be UTF-8 text.

    Text in UTF-16 or UTF-32 without a mark is recognized by its NUL bytes, if its first character and most others are
    ASCII (RFC 4627, section 3). A byte order mark of UTF-8 does not count: see `codecs.BOM_UTF8`.
    """
    for mark, form in _MARKS:
        if content.startswith(mark):
            return form
    if content.startswith(_ZLIB) and not _is_utf8(content):
        return "compressed with deflate"
    nul = [byte == 0 for byte in content[:4]]
    if nul in ([True, True, True, False], [False, True, True, True]):
        return "in UTF-32"
    if nul[:2] in ([True, False], [False, True]) and len(content) % 2 == 0:
        # Characters of two bytes. One NUL character in other text is not enough.
        high = content[nul.index(True) : _EXAMINED : 2]
        return "in UTF-16" if high.count(0) > len(high) / 2 else ""
    return ""


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
