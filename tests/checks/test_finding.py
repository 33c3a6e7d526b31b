"""The finding of one check."""

import errno

import msgspec

from moonmind_appliance.checks.finding import Finding, guarded, ok, wrong
from moonmind_appliance.errors import StoreError


def test_an_error_becomes_a_finding() -> None:
    """An appliance error has its own hint, an error of the operating system gets the check's.

    What was found before stays.
    """

    def refused() -> list[Finding]:
        raise StoreError("It is locked.", hint="Wait.")

    def denied() -> Finding:
        raise PermissionError(errno.EACCES, "Permission denied", "/data")

    def halfway() -> list[Finding]:
        yield ok("first", "fine")
        raise StoreError("It is locked.")

    assert list(guarded("x", refused, to_do="Nothing.")) == [wrong("x", "It is locked.", "Wait.")]
    assert list(guarded("x", denied, to_do="Run as root.")) == [wrong("x", "/data: Permission denied.", "Run as root.")]
    assert list(guarded("x", halfway, to_do="y")) == [ok("first", "fine"), wrong("x", "It is locked.", "y")]


def test_its_json() -> None:
    """The JSON that scripts read from `doctor --json`."""
    assert msgspec.to_builtins(wrong("disk", "full", "Free some.")) == {
        "check": "disk",
        "grade": "wrong",
        "seen": "full",
        "to_do": "Free some.",
    }
