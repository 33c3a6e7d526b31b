"""Removes secrets from every value that a statement writes to the database.

Text from an agent, a repository or GitHub reaches the tables through many fields, such as a thread id, a file name or a
failure message. The connection itself redacts, so that no caller can forget to.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from moonmind_appliance.models import Event

# Limits of one JSON column. The appliance's own data is far below them; data caused by an agent is cut.
LONGEST_TEXT = 64 * 1024
MOST_ENTRIES = 1000
LONGEST_JSON = 1024 * 1024

_CUT = "…"
# A secret that is cut at the end of a text is no longer recognised, so remove this many characters more.
_LONGEST_SECRET = 32 * 1024


class Verbatim(str):
    """Text that is stored without redaction.

    For the caller's specification, repository and branch, which were searched for secrets at submission; for
    identifiers of callers: redaction could make two of them equal; and for times and ids that the appliance made, where
    the search would take longer than the statement.
    """

    __slots__ = ()


class JsonText(str):
    """JSON whose texts, including keys, are redacted one by one, so that it stays valid."""

    __slots__ = ()


class RedactingConnection(sqlite3.Connection):
    """A connection whose INSERT, UPDATE and DELETE statements redact their text parameters; SELECTs do not.

    `redact` and `recorded` are set by the `Database`: `redact` right after it connects, `recorded` at the start of each
    write transaction. `recorded` collects the events that the transaction writes, as they are stored.
    """

    redact: Callable[[str], str]
    recorded: list[Event]

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401 - as sqlite3 has it
        """Execute one statement."""
        return super().execute(sql, self._cleaned(sql, parameters))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Execute one statement for each of several rows."""
        return super().executemany(sql, [self._cleaned(sql, row) for row in parameters])

    def _cleaned(self, sql: str, parameters: Any) -> Any:  # noqa: ANN401 - as sqlite3 has it
        if not parameters or sql.lstrip()[:6].upper() == "SELECT":
            return parameters
        if isinstance(parameters, Mapping):
            return {name: self._value(value) for name, value in parameters.items()}
        return [self._value(value) for value in parameters]

    def _value(self, value: object) -> object:
        if not isinstance(value, str):
            return value
        if isinstance(value, Verbatim):
            return str(value)
        if isinstance(value, JsonText):
            cleaned = _Bounded(self.redact).value(msgspec.json.decode(str(value)))
            return msgspec.json.encode(cleaned).decode()
        return self.redact(value)


class _Bounded:
    """Redacts the texts of one JSON value, and limits their length and number."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._left = LONGEST_JSON

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON
        """The value with its texts redacted."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self.value(entry) for entry in value[:MOST_ENTRIES]]
        if isinstance(value, dict):
            entries = list(value.items())[:MOST_ENTRIES]
            return {self._text(key): self.value(entry) for key, entry in entries}
        return value

    def _text(self, text: str) -> str:
        longest = min(LONGEST_TEXT, self._left)
        if not longest and text:
            return _CUT
        redacted = self._redact(text[:LONGEST_JSON])
        if len(text) > LONGEST_JSON:
            longest = min(longest, max(0, len(redacted) - _LONGEST_SECRET))
        if len(redacted) > longest:
            redacted = redacted[:longest] + _CUT
        self._left = max(0, self._left - len(redacted))
        return redacted
