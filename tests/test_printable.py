"""External text never reaches a terminal, a log or a reviewer with invisible or control characters."""

import json
import sys
import unicodedata

import pytest

from moonmind_appliance.printable import escape, escape_json, invisible, is_blank, replace, strip

STEERING = [
    "\x1b]0;title\x07",
    "\x1b[2J",
    "\x9b31m",
    "\x00",
    "\x7f",
    "\x85",
    "\xad",
    "\u061c",
    "\u200b",
    "\u200f",
    "\u2028",
    "\u2029",
    "\u202e",
    "\u2066",
    "\ufeff",
    "\ufff9",
    "\U000e0041",
]
EVERY_CHARACTER = "".join(map(chr, range(sys.maxunicode + 1)))


@pytest.mark.parametrize("text", STEERING)
def test_each_form_is_printable(text: str) -> None:
    """Escaped, replaced, or as JSON: the result is visible and on one line."""
    for made in (escape(f"a{text}b"), replace(f"a{text}b"), escape_json(json.dumps(f"a{text}b", ensure_ascii=False))):
        assert made.isprintable()


def test_no_unprintable_character_is_left() -> None:
    """Every code point of Unicode, including surrogates."""
    assert escape(EVERY_CHARACTER).isprintable()
    assert replace(EVERY_CHARACTER).isprintable()
    assert escape_json(json.dumps(EVERY_CHARACTER, ensure_ascii=False)).isprintable()
    left = {unicodedata.category(character) for character in strip(EVERY_CHARACTER) if character not in "\n\t"}
    assert not left & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_json_stays_the_same_value() -> None:
    """An escape represents its character, also beyond 16 bits and for half of a pair."""
    text = "é \U0001f600 \U000e0041 \u202e \ud800 \x9b \n \x1b"
    assert json.loads(escape_json(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ünïcode 漢字 😀", "plain ünïcode 漢字 😀"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x1b[2J\x9b", "\\x1b[2J\\x9b"),
        ("\u202e\u2028", "\\u202e\\u2028"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_an_escape_names_the_character(text: str, expected: str) -> None:
    """As Python writes it; visible text of any script is unchanged."""
    assert escape(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u202eb\u2066c\u200bd\ufeffe", "abcde"),
        ("tags\U000e0041\U000e007f", "tags"),
        ("a\u2028b\u2029c", "a\nb\nc"),
        ("no\xa0break\u3000wide", "no\xa0break\u3000wide"),
        ("\x1b]0;title\x9cbell", "bell"),
        ("unfinished \x1b]0;title", "unfinished ]0;title"),
    ],
)
def test_strip_removes_invisible_characters(text: str, expected: str) -> None:
    """Bidirectional marks, zero-width characters and tags; line separators become line breaks; blanks stay."""
    assert strip(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("main", ""),
        ("größe/漢字-😀", ""),
        ("a\x1bb", "U+001B, a control character"),
        ("a\x9b", "U+009B, a control character"),
        ("\u202ea", "U+202E, an invisible format character"),
        ("a\U000e0041", "U+E0041, an invisible format character"),
        ("\u2028", "U+2028, a line separator"),
        ("\u2029", "U+2029, a paragraph separator"),
        ("\ud800", "U+D800, an unpaired surrogate"),
        ("\ue000 \xa0", ""),
    ],
)
def test_the_first_invisible_character_is_named(text: str, expected: str) -> None:
    """With its code point and its kind."""
    assert invisible(text) == expected


BLANK = {
    "nothing": "",
    "white space of any script": " \t\r\n\u00a0\u1680\u2003\u3000\u2028",
    "byte order mark": "\ufeff",
    "zero-width space": "\u200b\u200b",
    "word joiner": "\u2060",
    "soft hyphen": "\u00ad",
    "Hangul filler": "\u3164",
    "half-width Hangul filler": "\uffa0",
    "Hangul jamo fillers": "\u115f\u1160",
    "blank Braille pattern": "\u2800",
    "variation selectors": "\ufe0f\U000e0100",
    "tag characters": "\U000e0041\U000e007f",
    "grapheme joiner": "\u034f",
    "Mongolian vowel separator": "\u180e",
    "Khmer inherent vowels": "\u17b4\u17b5",
    "null notehead": "\U0001d159",
    "direction marks": "\u202e\u2066\u200f",
    "control characters": "\x00\x1b\x7f",
    "a mark without a letter": "\u0301",
    "all together": "\ufeff \u200b\u2060\u3164\u2800\ufe0f\n",
}


@pytest.mark.parametrize("name", BLANK)
def test_a_text_that_shows_nothing_is_blank(name: str) -> None:
    """Each kind alone; with one visible character it is not blank."""
    assert is_blank(BLANK[name])
    assert not is_blank(f"{BLANK[name]}x{BLANK[name]}")


@pytest.mark.parametrize(
    "text", [".", "-", "\u4f60", "\U0001f600", "\u2801", "e\u0301", "\u0915\u093f", "\ue000", "\ufffd"]
)
def test_a_text_that_shows_something_is_not_blank(text: str) -> None:
    """A character of any script, a symbol, a private one, a mark on a letter."""
    assert not is_blank(text)
