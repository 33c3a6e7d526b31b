"""What the verbs, the execution and the checks work with: one object, created by `attach`."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from moonmind_appliance.agents.adapter import AgentAdapter
from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.github import GitHub, GitHubApp
from moonmind_appliance.models import ShardNames
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.settings import Settings
from moonmind_appliance.store import Store

if TYPE_CHECKING:
    # Its import loads huey, which callers over HTTP do not have.
    from moonmind_appliance.dispatch import Wakeups


class Throttle:
    """Lets one thread at a time do something, and not again for a while. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: float | None = None

    @contextmanager
    def turn(self, pause: float) -> Iterator[bool]:
        """True if this thread may do it now; False while another does it, and within `pause` seconds of its end."""
        if not self._lock.acquire(blocking=False):
            yield False
            return
        mine = self._at is None or time.monotonic() - self._at >= pause
        try:
            yield mine
        finally:
            if mine:
                self._at = time.monotonic()
            self._lock.release()


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """`attach` creates one object, which all threads use.

    Attributes:
        github: the client with GITHUB_TOKEN; None without that token.
        github_app: the GitHub App; None without one.
        shards: by number.
        clock: the current time, in UTC.
        making_room: limits how often what is past its retention time is removed because the disk is nearly full.
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
    github_app: GitHubApp | None = None
    making_room: Throttle = msgspec.field(default_factory=Throttle)
    stopping: threading.Event = msgspec.field(default_factory=threading.Event)

    def github_for(self, slug: str) -> GitHub | None:
        """A client for one repository, with its own tokens if a GitHub App is set; None without a credential."""
        return self.github if self.github_app is None else self.github_app.client(slug)


def utc_now() -> datetime:
    """The current time in UTC, for everything that is stored."""
    return datetime.now(UTC)
