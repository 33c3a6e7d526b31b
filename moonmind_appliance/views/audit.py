"""Who did what: the events that a person or a program caused."""

from datetime import datetime
from typing import Any

import msgspec

from moonmind_appliance.models import Author
from moonmind_appliance.store import Store
from moonmind_appliance.store.event_line import event_line


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `line` describes it in plain English; `author` says who requested it, and how."""

    event_id: int
    at: datetime
    author: Author
    kind: str
    line: str
    run_id: str | None
    shard: int | None
    data: dict[str, Any]


def audit_entries(store: Store, *, limit: int, since: datetime | None = None) -> list[AuditEntry]:
    """The newest changes, newest first; only those since that time (with a time zone)."""
    return [
        AuditEntry(
            event_id=event.event_id,
            at=event.at,
            author=author,
            kind=event.kind,
            line=event_line(event),
            run_id=event.run_id,
            shard=event.shard,
            data=event.data,
        )
        for event, author in store.events.authored(limit=limit, since=since)
    ]
