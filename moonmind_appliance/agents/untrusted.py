"""Parses data that the agent's container could have written: checks the type and bounds of every value.

Any process in that container can write to the agent's event stream, its rollout files and its login file.
"""

import json
import math
import re
from datetime import UTC, datetime
from typing import Any

from moonmind_appliance.models import QuotaWindow
from moonmind_appliance.untrusted_json import too_deep

LONGEST_NUMBER = 32
HIGHEST_COUNT = 2**53 - 1
HIGHEST_PERCENT = 1000.0
HIGHEST_WINDOW_MINUTES = 366 * 24 * 60
# Both bounds leave a margin for time zones and for sums with durations.
EARLIEST_TIME = datetime(2015, 1, 1, tzinfo=UTC)
LATEST_TIME = datetime(2100, 1, 1, tzinfo=UTC)

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_FRACTION = re.compile(r"(\.\d{6})\d+")


class Unreadable(ValueError):
    """Not a JSON value within the bounds."""


def read_json(data: bytes, *, limit: int) -> Any:  # noqa: ANN401 - any JSON value
    """Parse a JSON value more strictly than the standard requires.

    Args:
        data: UTF-8 text.
        limit: most bytes to read.

    Raises:
        Unreadable: too large, not UTF-8, nested too deeply, not JSON, a duplicate key in an object
            (Codex refuses it, other readers use the last), NaN, infinity, or a number of more than 32 characters.
    """
    if len(data) > limit:
        raise Unreadable(f"larger than {limit} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("not UTF-8") from error
    if too_deep(data):
        raise Unreadable("nested too deeply")
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except ValueError as error:
        raise Unreadable(str(error)[:200]) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("an object has a duplicate key")
    return found


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise Unreadable("a number is too long")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits) if len(digits) <= LONGEST_NUMBER else math.inf
    if not math.isfinite(value):
        raise Unreadable("a number is out of range")
    return value


def _constant(name: str) -> Any:  # noqa: ANN401 - the shape that json asks for
    raise Unreadable(f"{name} is not JSON")


def as_object(value: object) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_number(value: object, *, lowest: float, highest: float) -> float | None:
    """A finite number within the bounds; None for anything else, including true and false."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # The comparison is False for NaN, and for integers too large for a float.
    return float(value) if lowest <= value <= highest else None


def as_count(value: object, *, lowest: int = 0, highest: int = HIGHEST_COUNT) -> int | None:
    """An integer within the bounds; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if lowest <= value <= highest else None


def as_text(value: object, *, longest: int) -> str:
    """At most `longest` characters of a text that has a UTF-8 form; "" for anything else."""
    if not isinstance(value, str):
        return ""
    # JSON can contain an escaped unpaired surrogate, which has no UTF-8 form for the database or a response.
    return value[:longest].encode(errors="replace").decode()


def as_code(value: object) -> str:
    """A machine code: a letter, then letters, digits and underscores, 64 at most; "" for anything else."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else ""


def as_printable(value: object, *, longest: int) -> str | None:
    """A text of at most `longest` printable characters; None for anything else."""
    text = value if isinstance(value, str) else ""
    return text if text.isprintable() and 0 < len(text) <= longest else None


def as_time(value: object) -> datetime | None:
    """Epoch seconds or RFC 3339 as a UTC time between 2015 and 2100; None for anything else."""
    found: datetime | None = None
    try:
        if isinstance(value, str) and len(value) <= LONGEST_NUMBER + 8:
            # Codex writes nanoseconds; Python takes microseconds.
            found = datetime.fromisoformat(_FRACTION.sub(r"\1", value)).astimezone(UTC)
        elif (seconds := as_number(value, lowest=0, highest=LATEST_TIME.timestamp())) is not None:
            found = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found if found is not None and EARLIEST_TIME <= found <= LATEST_TIME else None


def as_window(used_percent: object, minutes: object, resets_at: object) -> QuotaWindow | None:
    """A usage window; None if the percentage is invalid. Invalid minutes or end become None."""
    used = as_number(used_percent, lowest=0, highest=HIGHEST_PERCENT)
    if used is None:
        return None
    return QuotaWindow(
        used_percent=used,
        window_minutes=as_count(minutes, lowest=1, highest=HIGHEST_WINDOW_MINUTES),
        resets_at=as_time(resets_at),
    )
