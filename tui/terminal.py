"""Whether the terminal can show the interface, and which theme suits it. Does not import Textual."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol


class Stream(Protocol):
    """What is needed of stdin, stdout and stderr."""

    @property
    def encoding(self) -> str:
        """The name of the encoding."""
        ...

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        ...


class ThemeName(StrEnum):
    """`NONE` is without colour: bold and reverse only."""

    DARK = "dark"
    LIGHT = "light"
    NONE = "none"


_LIGHT_BACKGROUNDS = frozenset({"7", "15"})


def terminal_problem(stdin: Stream, stdout: Stream, stderr: Stream, environment: Mapping[str, str]) -> str:
    """Why the interface cannot be shown here, as one sentence; "" if it can.

    Textual draws to stderr and reads stdin, and does not check that they are terminals, so check all three.
    """
    for name, stream in (("standard input", stdin), ("standard output", stdout), ("standard error", stderr)):
        if not stream.isatty():
            return f"The terminal interface needs a terminal, and {name} is not one."
    term = environment.get("TERM", "")
    if term in {"", "dumb", "unknown"}:
        return f"The terminal interface needs a terminal that can move its cursor, and TERM is {term or 'not set'}."
    encoding = (stderr.encoding or "").lower().replace("-", "").replace("_", "")
    if encoding != "utf8":
        return f"The terminal interface needs UTF-8, and the encoding is {stderr.encoding}: set LC_ALL=C.UTF-8."
    return ""


def theme_of(environment: Mapping[str, str], chosen: str | None) -> ThemeName:
    """The theme: the chosen one, else none with NO_COLOR, else light if COLORFGBG says so, else dark."""
    if chosen:
        return ThemeName(chosen)
    if environment.get("NO_COLOR"):
        return ThemeName.NONE
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return ThemeName.LIGHT if background in _LIGHT_BACKGROUNDS else ThemeName.DARK
