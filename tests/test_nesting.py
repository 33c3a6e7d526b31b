"""JSON that is nested too deeply to be decoded safely."""

import json

import pytest

from moonmind_appliance.nesting import MOST_LEVELS, too_deep


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", False),
        (b"[" * 3 + b"]" * 3, False),
        (b"[" * 4 + b"]" * 4, True),
        (b'{"a":[{"b":[1]}]}', True),
        (b'{"a":[{"b":1}]}', False),
        (b"[" * 50_000, True),
        # Many, but beside each other.
        (b"[" + b"[]," * 5_000 + b"[[]]]", False),
        (b"[" + b"[]," * 5_000 + b"[[[]]]]", True),
        # Brackets in strings are text.
        (b'["[[[[[[[[", "]]]"]', False),
        (rb'["\"[[[[", "\\", "\\\"[[[[", [[]]]', False),
        (rb'["\"[[[[", "\\", "\\\"[[[[", [[[]]]]', True),
        (b'["\n[[[[[\xff[[[["]', False),
        # A string without an end, and one that ends with half an escape.
        (b'["[[[[[[', False),
        (b'["[[[[[[\\', False),
        # Closing brackets that were not opened: decoders stop there.
        (b"]]]]" + b"[" * 8, True),
        (b"]]]]" + b"[" * 3, False),
    ],
)
def test_levels(text: bytes, *, expected: bool) -> None:
    """Of arrays and objects, not of their number and not of text."""
    assert too_deep(text, 3) is expected


@pytest.mark.parametrize("levels", [MOST_LEVELS, MOST_LEVELS + 1])
def test_the_limit(levels: int) -> None:
    """Is the deepest that is decoded."""
    text = b'{"a":[' * (levels // 2) + b"[" * (levels % 2) + b"]" * (levels % 2) + b"]}" * (levels // 2)
    json.loads(text)
    assert too_deep(text) is (levels > MOST_LEVELS)
