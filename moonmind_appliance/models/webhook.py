"""The messages of the webhook: `{type, timestamp, data}`, as the Standard Webhooks specification recommends.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from datetime import datetime

import msgspec

from moonmind_appliance.models.failure import Failure, WhoActs
from moonmind_appliance.models.run import RunStatus, WaitReason
from moonmind_appliance.models.shard import LoginFault, LoginState

RUN_MESSAGES = {
    "run.succeeded": "A run succeeded.",
    "run.no_changes": "A run ended without changes: the repository already contains what the specification asks for.",
    "run.failed": "A run failed.",
    "run.cancelled": "A run was cancelled.",
    "run.waiting": "A queued run does not start until a person acts.",
}
"""The types of messages about runs, each with its meaning. A type is the kind of the event that it reports."""

SHARD_MESSAGES = {
    "shard.login_dead": "A shard's login can no longer be used or renewed.",
    "shard.login_refused": "A shard's login works, but its account may not use the agent.",
}
"""The types of messages about shards, each with its meaning. A type is the kind of the event that it reports."""

TEST_MESSAGES = {"appliance.test": "Sent by `moonmind-appliance webhook test`."}
"""The types of messages that report no event."""


class PersonNeeded(msgspec.Struct, frozen=True):
    """Why a queued run does not start until a person acts."""

    reason: WaitReason
    detail: str
    who_acts: WhoActs = WhoActs.OPERATOR


class RunLinks(msgspec.Struct, frozen=True):
    """Addresses of the REST API; requests need a token."""

    run: str
    events: str


class RunData(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a run. `status` is the status at that time; `pull_request_url` is the newest known one.

    Only a failed run has a `failure`, and only a waiting one a `waiting_for`.
    """

    run_id: str
    external_ref: str | None
    repository: str
    dry_run: bool
    status: RunStatus
    pull_request_url: str | None
    failure: Failure | None
    waiting_for: PersonNeeded | None
    links: RunLinks


class ShardLinks(msgspec.Struct, frozen=True):
    """Addresses of the REST API; requests need an operator's token."""

    shards: str


class ShardData(msgspec.Struct, frozen=True, kw_only=True):
    """A shard's login that takes no runs until a person acts. `fault` and `reason` say why."""

    shard: int
    login: LoginState
    fault: LoginFault | None
    reason: str
    who_acts: WhoActs = WhoActs.OPERATOR
    links: ShardLinks


class SenderData(msgspec.Struct, frozen=True):
    """Which appliance sent a test message."""

    appliance_version: str


class RunMessage(msgspec.Struct, frozen=True):
    """A message about a run. `timestamp` is the time of the event, not of the delivery."""

    type: str
    timestamp: datetime
    data: RunData


class ShardMessage(msgspec.Struct, frozen=True):
    """A message about a shard. `timestamp` is the time of the event, not of the delivery."""

    type: str
    timestamp: datetime
    data: ShardData


class SenderMessage(msgspec.Struct, frozen=True):
    """A test message: it shows that messages arrive and that their signatures can be verified."""

    type: str
    timestamp: datetime
    data: SenderData
