"""Counts what the egress proxy did, with limits on number and size, and prints each change as one line of JSON."""

import json
import time
from collections.abc import Callable
from typing import Any

MOST_ENTRIES = 200
LONGEST_TARGET, LONGEST_REASON = 140, 160

ALLOWED, REFUSED, FAILED = "allowed", "refused", "failed"


class Entry:
    """The connections to one target with one outcome and one reason. Times are seconds since 1970."""

    def __init__(self, target: str, outcome: str, reason: str, now: float) -> None:
        self.target, self.outcome, self.reason = target, outcome, reason
        self.connections = self.sent = self.received = 0
        self.first_at = self.last_at = now
        self.changed = True

    def line(self) -> dict[str, Any]:
        """The entry as JSON."""
        return {
            "target": self.target,
            "outcome": self.outcome,
            "reason": self.reason,
            "connections": self.connections,
            "sent": self.sent,
            "received": self.received,
            "first_at": round(self.first_at, 3),
            "last_at": round(self.last_at, 3),
        }


class Record:
    """All entries. A new one is printed at once, the changes of known ones by `flush`."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.time) -> None:
        self._write = write
        self._clock = clock
        self._entries: dict[tuple[str, str, str], Entry] = {}
        # Targets beyond the limit are counted together, without their names.
        self._others: dict[str, Entry] = {}

    def count(self, target: str, outcome: str, reason: str = "") -> Entry:
        """Count a connection; returns its entry, to which the bytes are added."""
        if len(target) > LONGEST_TARGET:
            # No part of it: redaction does not find a secret of which the end is missing.
            target = f"({len(target)} characters)"
        key = (target, outcome, reason[:LONGEST_REASON])
        entry = self._entries.get(key)
        if entry is None:
            entry = self._others.get(outcome) if len(self._entries) >= MOST_ENTRIES else None
        is_new = entry is None
        if entry is None and len(self._entries) < MOST_ENTRIES:
            entry = self._entries[key] = Entry(*key, self._clock())
        elif entry is None:
            entry = self._others[outcome] = Entry("", outcome, "more targets than are listed", self._clock())
        entry.connections += 1
        self.touch(entry)
        if is_new:
            self._print(entry)
        return entry

    def touch(self, entry: Entry) -> None:
        """Print the entry with the next `flush`."""
        entry.changed = True
        entry.last_at = self._clock()

    def flush(self) -> None:
        """Print what has changed."""
        for entry in (*self._entries.values(), *self._others.values()):
            if entry.changed:
                self._print(entry)

    def _print(self, entry: Entry) -> None:
        entry.changed = False
        self._write(json.dumps(entry.line()) + "\n")
