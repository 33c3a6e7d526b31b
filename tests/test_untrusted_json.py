"""Every way in which JSON can be wrong is one kind of error."""

import json
from typing import Any

import msgspec
import pytest

from moonmind_appliance.untrusted_json import MOST_LEVELS, NestedTooDeeply, NotUtf8, decode, too_deep


@pytest.mark.parametrize(
    ("text", "shape", "error"),
    [
        (b"", Any, msgspec.DecodeError),
        (b"{", Any, msgspec.DecodeError),
        (b"[1]", dict[str, int], msgspec.ValidationError),
        (b'["\xff"]', Any, NotUtf8),
        (b'{"a": "\xff"}', dict[str, str], NotUtf8),
        (b"[" * 50_000, Any, NestedTooDeeply),
        (b'{"a": ' + b"[" * 50_000, dict[str, msgspec.Raw], NestedTooDeeply),
    ],
)
def test_what_is_wrong(text: bytes, shape: Any, error: type[msgspec.DecodeError]) -> None:
    """Callers need one `except`."""
    with pytest.raises(error) as caught:
        decode(text, shape)
    assert isinstance(caught.value, msgspec.DecodeError)
    assert type(caught.value) is error


def test_a_value_is_decoded_as_its_shape() -> None:
    """And without a shape as plain JSON."""
    assert decode(b'{"a": "x"}', dict[str, str]) == {"a": "x"}
    assert decode(b'["[[["]') == ["[[["]


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
