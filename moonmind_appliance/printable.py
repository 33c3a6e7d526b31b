"""Makes untrusted text safe to show: removes or escapes characters that are invisible or control a terminal.

Unprintable characters are those of Python's `str.isprintable`, which follows the Unicode categories: control (Cc),
format (Cf, with the bidirectional and zero-width marks and the tags), surrogate (Cs), private use (Co), unassigned
(Cn), line and paragraph separators (Zl, Zp), and blanks other than the space (Zs).
"""

import re
import unicodedata

_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)")
_NOT_ASCII = re.compile(r"[^ -~]")
_NOT_PLAIN = re.compile(r"[^ -~\n\t]")
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BEYOND_16_BITS = 0x10000

# Characters that are not displayed, or displayed as a break, or that change the order of display.
_INVISIBLE_CATEGORIES = {
    "Cc": "a control character",
    "Cf": "an invisible format character",
    "Cs": "an unpaired surrogate",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}

# Characters that show nothing: by category, and letters and symbols without a glyph.
_BLANK_CATEGORIES = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp", "Mn", "Me"})
_WITHOUT_GLYPH = re.compile(
    # The grapheme joiner, Hangul fillers, Khmer inherent vowels, Mongolian and other variation selectors, the blank
    # Braille pattern, the null notehead, and the code points that Unicode reserves for invisible characters
    # (https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point).
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U0001d159\U000e0000-\U000e0fff]"
)


def escape(text: str) -> str:
    r"""The text on one line, with every unprintable character written as `\n`, `\x1b`, `\u202e` or `\U000e0041`."""
    return text if text.isprintable() else _NOT_ASCII.sub(_escape_one, text)


def escape_json(encoded: str) -> str:
    r"""JSON with every unprintable character written as `\u202e`; the value that it decodes to is the same."""
    return encoded if encoded.isprintable() else _NOT_ASCII.sub(_escape_one_in_json, encoded)


def replace(text: str, mark: str = "\ufffd") -> str:
    """The text with every unprintable character replaced by `mark`."""
    if text.isprintable():
        return text
    return _NOT_ASCII.sub(lambda found: found[0] if found[0].isprintable() else mark, text)


def strip(text: str) -> str:
    """The text without escape sequences and unprintable characters; blanks, tabs and line breaks are kept."""
    return text if text.isprintable() else _NOT_PLAIN.sub(_keep_visible, _ESCAPE_SEQUENCE.sub("", text))


def without_blank_letters(text: str) -> str:
    """The text without the characters that have no glyph although Python counts them as printable."""
    return _WITHOUT_GLYPH.sub("", text)


def invisible(text: str) -> str:
    """The text's first invisible character, as `U+202E, an invisible format character`; "" if there is none.

    Private-use and unassigned characters do not count: a font shows them, and which characters are assigned depends on
    the version of Unicode.
    """
    if text.isprintable():
        return ""
    for found in _NOT_ASCII.finditer(text):
        what = _INVISIBLE_CATEGORIES.get(unicodedata.category(found[0]))
        if what:
            return f"U+{ord(found[0]):04X}, {what}"
    return ""


def is_blank(text: str) -> bool:
    """Whether the text shows nothing: it is empty, or has only white space, invisible and combining characters."""
    return all(
        unicodedata.category(character) in _BLANK_CATEGORIES or _WITHOUT_GLYPH.match(character) for character in text
    )


def _escape_one(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x100:  # noqa: PLR2004 - two hexadecimal digits
        return _SHORT_ESCAPES.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < _BEYOND_16_BITS else f"\\U{code:08x}"


def _escape_one_in_json(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    code = ord(character)
    if code < _BEYOND_16_BITS:
        return f"\\u{code:04x}"
    high, low = divmod(code - _BEYOND_16_BITS, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def _keep_visible(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    category = unicodedata.category(character)
    if category == "Zs":
        return character
    return "\n" if category in ("Zl", "Zp") else ""
