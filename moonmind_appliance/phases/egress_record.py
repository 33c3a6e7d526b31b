"""What a run's agents tried to reach: the lines of the egress proxy, and the artifact `egress.json`.

The artifact is the record: an attempt adds to what earlier attempts stored.
"""

import threading
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from moonmind_appliance.agents.adapter import BrokerReader
from moonmind_appliance.in_container.egress_record import ALLOWED, FAILED, REFUSED
from moonmind_appliance.models import ArtifactType, PhaseName
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.printable import escape
from moonmind_appliance.untrusted_json import decode

ARTIFACT = "egress.json"
MOST_TARGETS = 500
_LARGEST_ARTIFACT = 1024 * 1024
_LONGEST_LINE, _LONGEST_TEXT = 4096, 160
_OUTCOMES = frozenset({ALLOWED, REFUSED, FAILED})


class EgressTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Connections to one target with one outcome: `allowed`, `refused` or `failed`, and why. Sizes are in bytes.

    `target` is host:port, or what the request had in its place, in printable ASCII; "" for targets beyond the limit.
    """

    target: str
    outcome: str
    reason: str = ""
    connections: int = 0
    sent: int = 0
    received: int = 0
    first_at: datetime
    last_at: datetime

    @property
    def key(self) -> tuple[str, str, str]:
        """What distinguishes it from the others of a record."""
        return self.target, self.outcome, self.reason


class EgressRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the artifact. `allowed_hosts` are the entries that apply to the last attempt."""

    allowed_hosts: list[str] = []
    targets: list[EgressTarget] = []
    targets_left_out: int = 0

    def of(self, outcome: str) -> list[EgressTarget]:
        """The targets with that outcome, the most frequent first."""
        found = [each for each in self.targets if each.outcome == outcome]
        return sorted(found, key=lambda each: (-each.connections, each.target))


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the proxy: the new totals of one target. Times are seconds since 1970."""

    ready: bool = False
    target: str = ""
    outcome: str = ""
    reason: str = ""
    connections: int = 0
    sent: int = 0
    received: int = 0
    first_at: float = 0.0
    last_at: float = 0.0


class EgressLines:
    """Takes the proxy's output; a `ByteSink`. Thread-safe. `ready` is set once the proxy accepts connections.

    `broker` gets all lines, before `ready` is set.
    """

    def __init__(self, broker: BrokerReader | None = None) -> None:
        self._broker = broker
        self._longest = _LONGEST_LINE if broker is None else broker.longest_line
        self._lock = threading.Lock()
        self._rest = b""
        self._found: dict[tuple[str, str, str], EgressTarget] = {}
        self.ready = threading.Event()

    def write(self, data: bytes, /) -> None:
        """Take some bytes."""
        with self._lock:
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._take(line)
            if len(self._rest) > self._longest:
                self._rest = b""

    def targets(self) -> list[EgressTarget]:
        """What the proxy has reported so far, in the order of the first connections."""
        with self._lock:
            return sorted(self._found.values(), key=lambda each: each.first_at)

    def _take(self, line: bytes) -> None:
        if self._broker is not None:
            self._broker.take(line)
        if len(line) > _LONGEST_LINE and b'"ready"' not in line:
            return
        try:
            found = decode(line, _Line)
            times = [datetime.fromtimestamp(at, UTC) for at in (found.first_at, found.last_at)]
        except (msgspec.MsgspecError, ValueError, OverflowError, OSError):
            return
        if found.ready:
            self.ready.set()
        if found.outcome not in _OUTCOMES:
            return
        target = EgressTarget(
            target=_text(found.target),
            outcome=found.outcome,
            reason=_text(found.reason),
            connections=max(0, found.connections),
            sent=max(0, found.sent),
            received=max(0, found.received),
            first_at=times[0],
            last_at=times[1],
        )
        if target.key in self._found or len(self._found) < MOST_TARGETS:
            self._found[target.key] = target


def _text(text: str) -> str:
    return escape(text)[:_LONGEST_TEXT]


def stored_record(ctx: PhaseContext) -> EgressRecord:
    """The artifact's content; empty if there is none, or it cannot be read."""
    content = ctx.artifacts.read(ARTIFACT)
    if content is None or len(content) > _LARGEST_ARTIFACT:
        return EgressRecord()
    try:
        return decode(content, EgressRecord)
    except msgspec.MsgspecError:
        return EgressRecord()


def keep_record(ctx: PhaseContext, record: EgressRecord, phase: PhaseName) -> None:
    """Store the artifact. Raises StoreError if it cannot be written."""
    content = msgspec.json.format(msgspec.json.encode(record), indent=2)
    ctx.artifacts.keep(ARTIFACT, ArtifactType.EGRESS_RECORD, phase, content, "application/json")


def add(earlier: EgressRecord, allowed_hosts: list[str], targets: Iterable[EgressTarget]) -> EgressRecord:
    """The record of earlier attempts together with the targets of this one."""
    found = {each.key: each for each in earlier.targets}
    left_out = earlier.targets_left_out
    for each in targets:
        known = found.get(each.key)
        if known is None and len(found) >= MOST_TARGETS:
            left_out += 1
            continue
        found[each.key] = each if known is None else _sum(known, each)
    return EgressRecord(allowed_hosts=allowed_hosts, targets=list(found.values()), targets_left_out=left_out)


def _sum(one: EgressTarget, other: EgressTarget) -> EgressTarget:
    return msgspec.structs.replace(
        one,
        connections=one.connections + other.connections,
        sent=one.sent + other.sent,
        received=one.received + other.received,
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
    )
