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
    """What was observed, and what to do about it ("": nothing). No field contains a secret.

    `check` is for people and unique among the findings of one pass; it can name a shard, a repository or an address.
    External text in `observed` may contain control characters: code that displays it must remove them.
    """

    check: str
    # The key in `doctor --json`.
    level: Level = msgspec.field(name="grade")
    # The key in `doctor --json`.
    observed: str = msgspec.field(name="seen")
    to_do: str = ""


def ok(check: str, observed: str) -> Finding:
    """A finding without a problem."""
    return Finding(check, Level.OK, observed)


def note(check: str, observed: str, to_do: str = "") -> Finding:
    """A finding that is information."""
    return Finding(check, Level.NOTE, observed, to_do)


def wrong(check: str, observed: str, to_do: str) -> Finding:
    """A finding that prevents runs."""
    return Finding(check, Level.WRONG, observed, to_do)


def guarded(check: str, check_now: Callable[[], Finding | Iterable[Finding]], *, to_do: str = "") -> Iterator[Finding]:
    """The findings of `check_now`, one by one. An error of `check_now` becomes a finding, not an exception.

    Args:
        check: the name of the finding about an error.
        check_now: returns one finding or several.
        to_do: what to do, if the error does not say it.
    """
    try:
        found = check_now()
        if isinstance(found, Finding):
            yield found
        else:
            yield from found
    except ApplianceError as error:
        yield wrong(check, error.message, error.hint or to_do)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        yield wrong(check, f"{where}{error.strerror or error}.", to_do)
