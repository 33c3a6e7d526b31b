"""The record of the egress proxy."""

import json
from typing import Any

from moonmind_appliance.in_container.egress_record import LONGEST_TARGET, MOST_ENTRIES, Record


def record() -> tuple[Record, list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    return Record(lambda line: lines.append(json.loads(line)), clock=lambda: 12.5), lines


def test_a_new_target_is_printed_at_once_and_changes_are_collected() -> None:
    """So a container that is killed loses no target, and a flood of connections prints little."""
    counted, lines = record()
    for _ in range(1000):
        counted.count("evil.example:443", "refused", "not on the allow-list")
    assert [line["connections"] for line in lines] == [1]
    counted.flush()
    counted.flush()
    assert [line["connections"] for line in lines] == [1, 1000]
    assert lines[-1] == {
        "target": "evil.example:443",
        "outcome": "refused",
        "reason": "not on the allow-list",
        "connections": 1000,
        "sent": 0,
        "received": 0,
        "first_at": 12.5,
        "last_at": 12.5,
    }


def test_bytes_are_printed_with_the_next_flush() -> None:
    """They are added to the entry that `count` returned."""
    counted, lines = record()
    entry = counted.count("a.b:443", "allowed")
    entry.sent, entry.received = 3, 4
    counted.touch(entry)
    counted.flush()
    assert (lines[-1]["sent"], lines[-1]["received"]) == (3, 4)


def test_the_number_and_the_size_of_entries_are_limited() -> None:
    """Targets beyond the number are counted together, by outcome. No part of a target that is too long is shown."""
    counted, lines = record()
    for number in range(MOST_ENTRIES + 50):
        counted.count(str(number).rjust(LONGEST_TARGET, "a"), "refused")
    counted.flush()
    targets = {line["target"] for line in lines}
    assert len(targets) == MOST_ENTRIES + 1
    assert max(map(len, targets)) == LONGEST_TARGET
    assert [line["connections"] for line in lines if not line["target"]] == [1, 50]
    counted, lines = record()
    counted.count("a" * (LONGEST_TARGET + 1), "allowed")
    assert lines[0]["target"] == f"({LONGEST_TARGET + 1} characters)"
