"""Conversion between rows and structs.

Times are RFC 3339 text in UTC with six fractional digits, so that they sort as text. Structs inside a row are JSON.
"""

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

import msgspec

from moonmind_appliance.errors import UnreadableRow
from moonmind_appliance.models import PHASE_OUTPUTS, Artifact, Event, Phase, Run, Shard
from moonmind_appliance.store.redacting import JsonText
from moonmind_appliance.untrusted_json import decode

_T = TypeVar("_T")


def time_text(at: datetime) -> str:
    """The time as it is stored.

    Raises:
        ValueError: it has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("a stored time needs a time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def time_or_none(at: datetime | None) -> str | None:
    """The time as it is stored, or NULL."""
    return None if at is None else time_text(at)


def readable_time(text: str | None) -> datetime | None:
    """A stored time that is read without its row; None for NULL and for a text that is no time."""
    try:
        at = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at is None or at.tzinfo is None else at


def json_text(value: object) -> JsonText:
    """A struct, list or dict as it is stored."""
    return JsonText(msgspec.json.encode(value).decode())


def json_or_none(value: object) -> JsonText | None:
    """A struct as it is stored, or NULL."""
    return None if value is None else json_text(value)


_RUN_JSON = ("created_by", "waiting_for", "failure", "clarifications", "agent")


def to_run(row: sqlite3.Row, phases: Iterable[sqlite3.Row] = (), *, specify_text: str = "") -> Run:
    """A run with its phases; lists pass neither phases nor text.

    Raises:
        UnreadableRow: a column cannot be read; the error names the run.
    """
    return _build(
        Run,
        f"Run {row['run_id']}",
        lambda: {
            **_columns(row, Run, _RUN_JSON),
            "specify_text": specify_text,
            "phases": [_phase(phase) for phase in phases],
        },
    )


def to_artifact(row: sqlite3.Row) -> Artifact:
    """An artifact's record.

    Raises:
        UnreadableRow: a column cannot be read; the error names the run.
    """
    return _build(
        Artifact, f"Artifact {row['artifact_id']} of run {row['run_id']}", lambda: _columns(row, Artifact, ())
    )


def to_event(row: sqlite3.Row) -> Event:
    """An event.

    Raises:
        UnreadableRow: a column cannot be read.
    """
    return _build(Event, f"Event {row['event_id']}", lambda: _columns(row, Event, ("data",)))


def to_shard(row: sqlite3.Row) -> Shard:
    """A shard's state.

    Raises:
        UnreadableRow: the state cannot be read; the error names the shard.
    """
    return _build(Shard, f"Shard {row['shard']}", lambda: decode(row["state"].encode()))


def _phase(row: sqlite3.Row) -> Phase:
    columns = _columns(row, Phase, ("metadata", "output"))
    output = columns.pop("output")
    phase = msgspec.convert(columns, Phase, strict=False)
    if output is None or phase.phase not in PHASE_OUTPUTS:
        return phase
    return msgspec.structs.replace(phase, output=msgspec.convert(output, PHASE_OUTPUTS[phase.phase]))


def _columns(row: sqlite3.Row, kind: type[msgspec.Struct], json_columns: tuple[str, ...]) -> dict[str, Any]:
    fields = _fields(kind)
    # By position: a row searches for each name from its first column on.
    values = {name: value for name, value in zip(row.keys(), row, strict=True) if name in fields}
    for value in values.values():
        if isinstance(value, str) and not value.isascii():
            value.encode()
    for name in json_columns:
        if values[name] is not None:
            values[name] = decode(values[name].encode())
    return values


@cache
def _fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(kind.__struct_fields__)


def _build(kind: type[_T], what: str, values: Any) -> _T:  # noqa: ANN401 - plain JSON values
    try:
        return msgspec.convert(values(), kind, strict=False)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnreadableRow(
            f"{what}: the stored row cannot be read ({error}).",
            hint="It was changed manually or by another version. Export and remove a run with "
            "`moonmind-appliance runs remove RUN --export FILE`, or restore a copy from the backups folder.",
        ) from error
