"""What the verbs, the execution and the checks work with: one object, created by the composition root."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from moonmind_appliance.agents.adapter import AgentAdapter
from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.github import GitHub
from moonmind_appliance.models import ShardNames
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.settings import Settings
from moonmind_appliance.store import Store

if TYPE_CHECKING:
    # Its import loads huey, which callers over HTTP do not have.
    from moonmind_appliance.dispatch import Wakeups


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """The composition root creates one object, which all threads use.

    Attributes:
        github: None without a token.
        shards: by number.
        clock: the current time, in UTC.
        stopping: set once, when the process begins to stop: new work is refused, running work is interrupted.
    """

    settings: Settings
    store: Store
    engine: ContainerEngine
    github: GitHub | None
    agent: AgentAdapter
    redactor: Redactor
    files: ArtifactFiles
    wakeups: "Wakeups"
    shards: tuple[ShardNames, ...]
    appliance_id: str
    clock: Callable[[], datetime]
    stopping: threading.Event = msgspec.field(default_factory=threading.Event)


def utc_now() -> datetime:
    """The current time in UTC, for everything that is stored."""
    return datetime.now(UTC)
