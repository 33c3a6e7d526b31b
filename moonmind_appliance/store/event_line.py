"""One event as one line of plain English, for the log. Pure: the line says what the event contains, and no more."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from moonmind_appliance.models import Event, LoginState, WaitReason
from moonmind_appliance.units import duration, size

_Data = Mapping[str, Any]


def event_line(event: Event) -> str:
    """The event's line, such as `Run 10f37e97: speckit_plan succeeded after 12.3 s (attempt 2)`.

    A run has the first eight characters of its id. A kind that is not known, and data of another shape, give the kind
    with the data. White space in data becomes one space, so the line has no line feed; the log escapes other control
    characters.
    """
    describe = _KINDS.get(event.kind)
    try:
        text = _with_data(event) if describe is None else describe(event)
    except (AttributeError, KeyError, TypeError, ValueError):
        text = _with_data(event)
    return f"{_subject(event)}{_one_line(text)}"


def _subject(event: Event) -> str:
    if event.run_id is not None:
        return f"Run {event.run_id[:8]}: "
    return "" if event.shard is None else f"Shard {event.shard}: "


def _with_data(event: Event) -> str:
    details = ", ".join(f"{name} {value}" for name, value in event.data.items())
    return f"{event.kind} ({details})" if details else event.kind


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _after(lead: str, text: object) -> str:
    """The text after its lead; "" if there is none."""
    return f"{lead}{text}" if text else ""


def _time(stored: str) -> str:
    return f"{datetime.fromisoformat(stored).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _duration(data: _Data) -> str:
    return f" after {duration(data['seconds'])}" if data.get("seconds") is not None else ""


def _attempt(data: _Data) -> str:
    return f" (attempt {data['attempt']})" if data.get("attempt") else ""


def _phase_ended(how: str) -> Callable[[Event], str]:
    def line(event: Event) -> str:
        data = event.data
        reason = data.get("failure") or data.get("reason") or data.get("note")
        return f"{data['phase']} {how}{_duration(data)}{_attempt(data)}{_after(': ', reason)}"

    return line


def _phase_retrying(event: Event) -> str:
    data = event.data
    if data.get("seconds") is None:
        return f"{data['phase']} will be repeated after attempt {data['attempt']}{_after(': ', data.get('reason'))}"
    reason = data.get("failure") or data.get("reason")
    return f"{data['phase']} stopped{_duration(data)}{_attempt(data)}, to be repeated{_after(': ', reason)}"


def _git_retried(event: Event) -> str:
    data = event.data
    return f"{data['phase']} repeats git's call in {data['pause']} s (attempt {data['attempt']}): {data['why']}"


def _run_ended(how: str) -> Callable[[Event], str]:
    def line(event: Event) -> str:
        data = event.data
        place = _after(" in ", data.get("phase"))
        reason = f"{_after(': ', data.get('failure'))}{_after('. ', data.get('summary'))}"
        return f"{how}{place}{_duration(data)}{reason}"

    return line


_WAITS_FOR = {
    WaitReason.LOGIN: "a login",
    WaitReason.QUOTA: "quota",
    WaitReason.DISK: "disk space",
    WaitReason.ENGINE: "the Docker engine",
    WaitReason.GITHUB: "GitHub",
    WaitReason.SHARD_BUSY: "a shard",
    WaitReason.DRAINED: "the appliance to be resumed",
}


def _run_waiting(event: Event) -> str:
    waits = event.data["waiting_for"]
    until = f" until {_time(waits['until'])}" if waits.get("until") else ""
    return f"waits for {_WAITS_FOR[WaitReason(waits['reason'])]}{until}{_after(': ', waits.get('detail'))}"


def _run_requeued(event: Event) -> str:
    times = event.data.get("interruptions")
    return f"back in the queue{_after('; interruptions without progress: ', times)}"


def _login(event: Event) -> str:
    data, state = event.data, event.kind.removeprefix("shard.login_")
    was = f" (was {data['was']})" if data.get("was") else ""
    return f"login {state}{_after(', ', data.get('fault'))}{was}{_after(': ', data.get('why'))}"


def _webhook(how: Callable[[_Data], str]) -> Callable[[Event], str]:
    def line(event: Event) -> str:
        data = event.data
        about = f" of run {data['run_id'][:8]}" if data.get("run_id") else ""
        about = about or (f" of shard {data['shard']}" if data.get("shard") is not None else "")
        return f"Webhook message {data['type']}{about} {how(data)}{_attempt(data)}{_after(': ', data.get('problem'))}"

    return line


_KINDS: Mapping[str, Callable[[Event], str]] = {
    "backup.restored": lambda event: f"Backup of {_time(event.data['backup_of'])} restored",
    "backup.made": lambda _: "Backup made",
    "retention.pruned": lambda event: f"Pruned: {event.data['removed']} removed, {event.data['failed']} failed",
    "run.removed": lambda event: f"run {event.data.get('removed')} removed by the operator",
    "run.specification_removed": lambda _: "specification text removed after TEXT_RETENTION",
    "run.queued": lambda event: f"queued{_after(' for ', event.data.get('repository'))}",
    "run.claimed": lambda event: f"started on shard {event.shard}",
    "run.waiting": _run_waiting,
    "run.ready": lambda _: "waits only for its turn",
    "run.requeued": _run_requeued,
    "run.goes_on_elsewhere": lambda event: f"leaves shard {event.shard} for another one: {event.data['why']}",
    "run.workspace_lost": lambda event: f"its volumes no longer exist; repeats {', '.join(event.data['again'])}",
    "run.git_retried": _git_retried,
    "run.noted": lambda event: f"saved {', '.join(event.data['fields'])}",
    "run.cancel_requested": lambda _: "cancel requested",
    "run.retried": lambda event: f"queued again by a retry (was {event.data['was']})",
    "run.succeeded": _run_ended("succeeded"),
    "run.no_changes": _run_ended("ended without changes"),
    "run.failed": _run_ended("failed"),
    "run.cancelled": _run_ended("cancelled"),
    "phase.running": lambda event: f"{event.data['phase']} started{_attempt(event.data)}",
    "phase.succeeded": _phase_ended("succeeded"),
    "phase.failed": _phase_ended("failed"),
    "phase.skipped": _phase_ended("skipped"),
    "phase.retrying": _phase_retrying,
    "artifact.saved": lambda event: f"artifact {event.data['name']} saved ({size(event.data['size_bytes'])})",
    "artifacts.removed": lambda event: f"{event.data['count']} artifacts removed",
    **{f"shard.login_{state.value}": _login for state in LoginState},
    "shard.signed_in": lambda event: f"signed in ({event.data['way']})",
    "shard.signed_out": lambda _: "signed out",
    "shard.paused": lambda _: "paused: it claims no more runs",
    "shard.resumed": lambda _: "resumed",
    "shard.refreshed": lambda event: f"login renewed at {_time(event.data['at'])}",
    "shard.refresh_failed": lambda event: f"login not renewed: {event.data['why']}",
    "shard.admitted_again": lambda event: f"its account may be used again: {event.data['why']}",
    "shard.rests": lambda event: f"cooldown until {_time(event.data['until'])}: the usage limit is reached",
    "shard.rested": lambda event: f"cooldown over{_after(': ', event.data.get('why'))}",
    "shard.left_to_others": lambda event: f"left a run to shard {event.data['to']}, which has more quota left",
    "shard.state_unreadable": lambda event: f"checks its login again, because {event.data['why']}",
    "webhook.delivered": _webhook(lambda data: f"delivered with status {data['http_status']}{_duration(data)}"),
    "webhook.failed": _webhook(lambda data: f"not delivered, next attempt at {_time(data['next'])}"),
    "webhook.given_up": _webhook(lambda _: "given up"),
    "webhook.disabled": _webhook(lambda _: "refused; no more messages are sent until the restart"),
    "drain.began": lambda _: "Drained: no run starts until the appliance is resumed",
    "drain.ended": lambda _: "Resumed: runs start again",
    "token.created": lambda event: f"Token {event.data['name']} created",
    "token.revoked": lambda event: f"Token {event.data['name']} revoked",
}

KINDS = frozenset(_KINDS)
"""The kinds of all events that the appliance records."""
