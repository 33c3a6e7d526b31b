"""Decodes JSON that something else wrote: every way in which it can be wrong is one kind of error.

Decoders of JSON recurse once for each level. At Python's recursion limit it is not only the decoder that fails: a
garbage collection that happens there calls destructors, which then fail as well, and Python drops their errors
(https://docs.python.org/3/library/sys.html#sys.unraisablehook). So the levels are counted before the JSON is decoded.

msgspec 0.22 raises UnicodeDecodeError, which is not one of its own errors, for a string that is not UTF-8.
"""

import re
from array import array
from itertools import accumulate
from typing import Any, TypeVar, overload

import msgspec

MOST_LEVELS = 128
"""Far below Python's recursion limit of 1,000, which includes the levels of the calls themselves."""

_T = TypeVar("_T")

# The end of a cut string is part of it.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKETS = b"[{]}"
_OTHERS = bytes(byte for byte in range(256) if byte not in _BRACKETS)
_STEPS = bytes.maketrans(_BRACKETS, array("b", [1, 1, -1, -1]).tobytes())


class NestedTooDeeply(msgspec.DecodeError):
    """JSON with more than `MOST_LEVELS` levels."""


class NotUtf8(msgspec.DecodeError):
    """A string is not UTF-8."""


@overload
def decode(text: bytes, shape: type[_T]) -> _T: ...


@overload
def decode(text: bytes, shape: Any = Any) -> Any: ...  # noqa: ANN401 - any JSON value
def decode(text: bytes, shape: Any = Any) -> Any:
    """Decode JSON in UTF-8 as `shape`.

    Raises:
        NestedTooDeeply: it has more than `MOST_LEVELS` levels.
        NotUtf8: a string is not UTF-8.
        msgspec.DecodeError: these two, it is not JSON, or it has another shape (`msgspec.ValidationError`).
    """
    if too_deep(text):
        raise NestedTooDeeply(f"JSON is nested more than {MOST_LEVELS} levels deep")
    try:
        return msgspec.json.decode(text, type=shape)
    except UnicodeDecodeError as error:
        raise NotUtf8("JSON contains a string that is not UTF-8") from error


def too_deep(text: bytes, most: int = MOST_LEVELS) -> bool:
    """Whether JSON opens more than `most` arrays and objects inside each other.

    The text need not be valid JSON: a decoder does not get further than the levels that are counted here.
    """
    if text.count(b"[") + text.count(b"{") <= most:
        return False
    steps = array("b", _STRING.sub(b"", text).translate(_STEPS, _OTHERS))
    return max(accumulate(steps), default=0) > most
