"""What one look found."""

from enum import StrEnum

import msgspec


class Grade(StrEnum):
    """`wrong` keeps runs from working; `note` is worth knowing."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True):
    """One prerequisite: what was seen, and what to do where it is not as it must be."""

    check: str
    grade: Grade
    seen: str
    to_do: str = ""


def ok(check: str, seen: str) -> Finding:
    """All is well."""
    return Finding(check, Grade.OK, seen)


def note(check: str, seen: str, to_do: str = "") -> Finding:
    """Worth knowing."""
    return Finding(check, Grade.NOTE, seen, to_do)


def wrong(check: str, seen: str, to_do: str) -> Finding:
    """Runs cannot work like this."""
    return Finding(check, Grade.WRONG, seen, to_do)
