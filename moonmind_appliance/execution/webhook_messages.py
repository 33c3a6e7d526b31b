"""Which events the webhook reports, and the messages about them. Pure."""

import uuid
from datetime import datetime
from typing import NamedTuple

import msgspec

from moonmind_appliance.models import (
    RUN_MESSAGES,
    SHARD_MESSAGES,
    TEST_MESSAGES,
    Event,
    FailureCode,
    LoginFault,
    LoginState,
    PersonNeeded,
    RunData,
    RunLinks,
    RunMessage,
    RunStatus,
    SenderData,
    SenderMessage,
    ShardData,
    ShardLinks,
    ShardMessage,
    WaitingFor,
    failure,
)
from moonmind_appliance.store.webhooks import RunFacts

KINDS = (*RUN_MESSAGES, *SHARD_MESSAGES)
"""The kinds of events that may be reported."""

_WAITING = "run.waiting"
# The specification recommends bodies of less than 20 kB.
_LONGEST_TEXT = 2000


class MessageHead(NamedTuple):
    """What the appliance's own events say about a message: its type, and what it is about."""

    type: str
    run_id: str | None
    shard: int | None


class _HeadData(msgspec.Struct):
    run_id: str | None = None
    shard: int | None = None


class _Head(msgspec.Struct):
    type: str = ""
    data: _HeadData = msgspec.field(default_factory=_HeadData)


def message_id(appliance_id: str, event: Event) -> str:
    """The id that all attempts to deliver this event have, and that no other event of any appliance has.

    It contains the time, because a restored database gives the ids of later events again.
    """
    return f"msg_{uuid.uuid5(uuid.UUID(appliance_id), f'{event.event_id} {event.kind} {event.at.isoformat()}').hex}"


def needs_person(event: Event) -> bool:
    """Whether the event begins or continues a wait that only a person can end: it has no time."""
    waiting_for = _waiting_for(event)
    return waiting_for is not None and waiting_for.until is None


def message_of(event: Event, run: RunFacts | None, before: Event | None, api_url: str) -> str | None:
    """The event's message as JSON; None if the event is not reported.

    A run that waits is reported once, until it waits for another reason or started in between.

    Args:
        event: of one of `KINDS`.
        run: facts of the event's run; None if there is none any more.
        before: the previous event that changed whether the run waits.
        api_url: the API's address for callers, with its path.

    Raises:
        ValueError: the event's data have another shape.
        KeyError: the event's data have another shape.
    """
    if event.kind in SHARD_MESSAGES and event.shard is not None:
        return _json(ShardMessage(event.kind, event.at, _shard_data(event, event.shard, api_url)))
    if event.run_id is None or run is None:
        return None
    if event.kind == _WAITING and (not needs_person(event) or _same_wait(event, before)):
        return None
    return _json(RunMessage(event.kind, event.at, _run_data(event, event.run_id, run, api_url)))


def sender_message(version: str, now: datetime) -> str:
    """The message of `webhook test`, as JSON."""
    (kind,) = TEST_MESSAGES
    return _json(SenderMessage(kind, now, SenderData(version)))


def head_of(body: str) -> MessageHead:
    """What a stored message is about; nothing if it is damaged."""
    try:
        content = msgspec.json.decode(body, type=_Head)
    except msgspec.MsgspecError:
        return MessageHead("", None, None)
    return MessageHead(content.type, content.data.run_id, content.data.shard)


def _json(message: RunMessage | ShardMessage | SenderMessage) -> str:
    return msgspec.json.encode(message).decode()


def _waiting_for(event: Event) -> WaitingFor | None:
    given = event.data.get("waiting_for") if event.kind == _WAITING else None
    return None if given is None else msgspec.convert(given, WaitingFor)


def _same_wait(event: Event, before: Event | None) -> bool:
    if before is None or not needs_person(before):
        return False
    now, then = _waiting_for(event), _waiting_for(before)
    return now is not None and then is not None and now.reason is then.reason


def _run_data(event: Event, run_id: str, run: RunFacts, api_url: str) -> RunData:
    code, waiting_for = event.data.get("failure"), _waiting_for(event)
    address = f"{api_url}/runs/{run_id}"
    return RunData(
        run_id=run_id,
        external_ref=run.external_ref,
        repository=run.repository,
        dry_run=run.dry_run,
        status=RunStatus(event.data["status"]),
        pull_request_url=run.pull_request_url,
        failure=failure(FailureCode(code), _cut(event.data.get("summary") or "")) if code else None,
        waiting_for=PersonNeeded(waiting_for.reason, _cut(waiting_for.detail)) if waiting_for else None,
        links=RunLinks(address, f"{address}/events"),
    )


def _shard_data(event: Event, shard: int, api_url: str) -> ShardData:
    fault = event.data.get("fault")
    return ShardData(
        shard=shard,
        login=LoginState(event.kind.removeprefix("shard.login_")),
        fault=LoginFault(fault) if fault else None,
        reason=_cut(event.data.get("why") or ""),
        links=ShardLinks(f"{api_url}/shards"),
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
