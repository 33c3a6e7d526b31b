"""The record of what a run's agents tried to reach."""

import json
from typing import Any

from moonmind_appliance.agents.codex_broker import CodexBroker
from moonmind_appliance.models import PhaseName
from moonmind_appliance.phases.egress_record import (
    ARTIFACT,
    MOST_TARGETS,
    EgressLines,
    EgressRecord,
    EgressTarget,
    add,
    keep_record,
    stored_record,
)
from tests.fakes import NOW
from tests.phases.contexts import RecordedArtifacts, make_context


def line(**fields: Any) -> bytes:
    known = {"target": "evil.example:443", "outcome": "refused", "connections": 1, "first_at": 1.0, "last_at": 2.0}
    return json.dumps(known | fields).encode() + b"\n"


def target(name: str, connections: int = 1, outcome: str = "refused") -> EgressTarget:
    return EgressTarget(target=name, outcome=outcome, connections=connections, first_at=NOW, last_at=NOW, sent=2)


def test_the_newest_line_of_a_target_counts() -> None:
    """Lines may arrive in any pieces."""
    lines = EgressLines()
    for byte in b'{"ready": true}\n' + line() + line(connections=7, sent=3):
        lines.write(bytes([byte]))
    assert lines.ready.is_set()
    (found,) = lines.targets()
    assert (found.target, found.connections, found.sent, found.received) == ("evil.example:443", 7, 3, 0)
    assert found.first_at.timestamp() == 1.0


def test_lines_that_the_proxy_does_not_print_are_ignored() -> None:
    """Hostile bytes reach this program first, so its output is limited and checked like an agent's."""
    lines = EgressLines()
    lines.write(b"\xff\n[]\n{}\n" + line(outcome="odd") + line(first_at=1e300) + line(connections="many"))
    lines.write(b"a" * 100_000 + b"\n")
    assert lines.targets() == []
    assert not lines.ready.is_set()
    lines.write(b"".join(line(target=f"{n}:1") for n in range(MOST_TARGETS + 10)))
    assert len(lines.targets()) == MOST_TARGETS
    lines = EgressLines()
    lines.write(line(target="\u202e\x1b" + "a" * 1000, connections=-1))
    (found,) = lines.targets()
    assert found.target.isascii()
    assert (len(found.target), found.connections) == (160, 0)


def test_a_login_broker_gets_its_long_lines_before_the_proxy_is_ready() -> None:
    """Its first line has the login. Longer lines than it accepts are dropped, and the next one is read again."""
    broker = CodexBroker()
    lines = EgressLines(broker)
    made = {"ready": True, "broker": {"ca": "PEM", "login": "x" * 100_000}}
    data = json.dumps(made).encode() + b"\n" + line()
    for begin in range(0, len(data), 10_000):
        lines.write(data[begin : begin + 10_000])
    assert lines.ready.is_set()
    assert broker.login is not None
    assert len(broker.login.login_file) == 100_000
    assert [each.target for each in lines.targets()] == ["evil.example:443"]
    lines.write(b"a" * (broker.longest_line + 1))
    lines.write(b"\n" + json.dumps({"broker": "quota", "headers": {}}).encode() + b"\n")
    assert broker.position() == 1


def test_an_attempt_adds_to_earlier_ones() -> None:
    """Counts of the same target and outcome are added. The number of entries is limited."""
    first = add(EgressRecord(), ["a"], [target("x:1", 2), target("y:1", 1, "allowed")])
    second = add(first, ["b"], [target("x:1", 3), target("z:1")])
    assert second.allowed_hosts == ["b"]
    assert {each.target: (each.connections, each.sent) for each in second.targets} == {
        "x:1": (5, 4),
        "y:1": (1, 2),
        "z:1": (1, 2),
    }
    assert [each.target for each in second.of("refused")] == ["x:1", "z:1"]
    full = add(second, ["b"], [target(f"{number}:1") for number in range(MOST_TARGETS)])
    assert (len(full.targets), full.targets_left_out) == (MOST_TARGETS, 3)


def test_the_artifact_is_read_back() -> None:
    """A damaged one counts as empty: a run must not fail because of its record."""
    artifacts = RecordedArtifacts()
    ctx = make_context(artifacts=artifacts)
    assert stored_record(ctx) == EgressRecord()
    record = add(EgressRecord(), ["a"], [target("x:1")])
    keep_record(ctx, record, PhaseName.SPECKIT_PLAN)
    assert stored_record(ctx) == record
    artifacts.files[ARTIFACT] = b"{"
    assert stored_record(ctx) == EgressRecord()
