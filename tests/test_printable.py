"""External text never reaches a terminal, a log or a reviewer with invisible or control characters."""

import json
import sys
import unicodedata

import pytest

from moonmind_appliance.printable import escape, escape_json, invisible, replace, strip

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
