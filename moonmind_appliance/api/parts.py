"""The API's dependencies, which the composition root provides."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from litestar import Litestar

from moonmind_appliance.checks import Finding
from moonmind_appliance.models import Authenticated
from moonmind_appliance.resources import Resources

__all__ = ["ApiParts", "Pace", "ProcessState"]


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Intervals of the event streams, and the time that a request's body may take, in seconds."""

    look_every: float = 0.25
    heartbeat_every: float = 15.0
    ask_token_every: float = 60.0
    # The largest body, 2 MiB, at 280 kbit/s.
    body_within: float = 60.0


@dataclass(frozen=True, kw_only=True)
class ProcessState:
    """What only the serving process knows, for the metrics. No call waits for the Docker engine.

    `checks`: the latest findings of `readiness`. `threads`: whether each thread runs. `jobs`: when each periodic job
    last succeeded, in seconds since 1970; before that, when the process started.
    """

    checks: Callable[[], Mapping[str, Finding]] = dict
    threads: Callable[[], Mapping[str, bool]] = dict
    jobs: Callable[[], Mapping[str, float]] = dict


@dataclass(frozen=True, kw_only=True)
class ApiParts:
    """What the verbs need, and what only the API needs.

    `authenticate` and `readiness` are called in worker threads, several at a time. `readiness` returns the checks by
    their names; callers without a token can read the problems that it finds. `authenticate` returns None for an
    invalid token, or raises `Unauthenticated` (with the reason) or `Unavailable` (when it cannot check the token).
    When `resources.stopping` is set, POSTs are refused with `draining` and event streams end.
    `lifespan` is entered before the first request and left after the last.
    """

    resources: Resources
    authenticate: Callable[[str], Authenticated | None]
    readiness: Callable[[], Mapping[str, Finding]]
    version: str
    process: ProcessState = ProcessState()
    pace: Pace = Pace()
    lifespan: Callable[[Litestar], AbstractAsyncContextManager[None]] | None = None
