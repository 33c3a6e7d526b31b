"""Writes each recorded event to the log, one line each, through the logger `moonmind_appliance.events`."""

import logging
from collections.abc import Iterable

from moonmind_appliance.models import Event
from moonmind_appliance.store.event_line import event_line

_WARNINGS = frozenset(
    {
        "phase.failed",
        "run.failed",
        "shard.login_dead",
        "shard.login_refused",
        "shard.refresh_failed",
        "shard.state_unreadable",
        "webhook.disabled",
        "webhook.given_up",
    }
)

_log = logging.getLogger("moonmind_appliance.events")


def log_events(events: Iterable[Event]) -> None:
    """Log the events of a transaction, after it was committed. The record's attribute `event` is the event as stored.

    A process that is killed between the commit and this call leaves the events without a line. Lines of different
    threads may be in another order than their events.
    """
    for event in events:
        level = logging.WARNING if event.kind in _WARNINGS else logging.INFO
        if _log.isEnabledFor(level):
            _log.log(level, "%s", event_line(event), extra={"event": event})
