"""The finding of one check."""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

import msgspec

from moonmind_appliance.errors import ApplianceError


class Level(StrEnum):
    """`wrong` prevents runs; `note` is information."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True):
    """What was seen, and what to do about it ("": nothing). No field contains a secret.

    `check` is for people and unique among the findings of one pass; it can name a shard, a repository or an address.
    Text of others in `seen` may contain control characters: the code that shows it must remove them.
    """

    check: str
    # The key in `doctor --json`.
    level: Level = msgspec.field(name="grade")
    seen: str
    to_do: str = ""


def ok(check: str, seen: str) -> Finding:
    """A finding without a problem."""
    return Finding(check, Level.OK, seen)


def note(check: str, seen: str, to_do: str = "") -> Finding:
    """A finding that is information."""
    return Finding(check, Level.NOTE, seen, to_do)


def wrong(check: str, seen: str, to_do: str) -> Finding:
    """A finding that prevents runs."""
    return Finding(check, Level.WRONG, seen, to_do)


def guarded(check: str, look: Callable[[], Finding | Iterable[Finding]], *, to_do: str = "") -> Iterator[Finding]:
    """The findings of `look`, one by one. An error of `look` becomes a finding, not an exception.

    Args:
        check: the name of the finding about an error.
        look: makes one finding or several.
        to_do: what to do, if the error does not say it.
    """
    try:
        found = look()
        if isinstance(found, Finding):
            yield found
        else:
            yield from found
    except ApplianceError as error:
        yield wrong(check, error.message, error.hint or to_do)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        yield wrong(check, f"{where}{error.strerror or error}.", to_do)
