"""The API's dependencies, which the composition root provides."""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from litestar import Litestar

from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.checks import Finding
from moonmind_appliance.dispatch import Wakeups
from moonmind_appliance.models import Actor
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.settings import Settings
from moonmind_appliance.store import Store

__all__ = ["ApiParts", "Pace"]


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Intervals of the event streams, and the time that a request's body may take, in seconds."""

    look_every: float = 0.25
    heartbeat_every: float = 15.0
    ask_token_every: float = 60.0
    # The largest body, 2 MiB, at 280 kbit/s.
    body_within: float = 60.0


@dataclass(frozen=True, kw_only=True)
class ApiParts:
    """Everything that the API depends on.

    `authenticate` and `readiness` are called in worker threads, several at a time. `readiness` returns the checks by
    their names; callers without a token can read the problems that it finds. `authenticate` returns None for an
    invalid token, or raises `Unauthenticated` (with the reason) or `Unavailable` (when it cannot check the token).
    Set `stopping` as soon as the process must stop: POSTs are refused with `draining` and event streams end.
    `lifespan` is entered before the first request and left after the last.
    """

    store: Store
    wakeups: Wakeups
    settings: Settings
    redactor: Redactor
    artifact_files: ArtifactFiles
    authenticate: Callable[[str], Actor | None]
    readiness: Callable[[], Mapping[str, Finding]]
    version: str
    pace: Pace = Pace()
    stopping: threading.Event = field(default_factory=threading.Event)
    lifespan: Callable[[Litestar], AbstractAsyncContextManager[None]] | None = None
