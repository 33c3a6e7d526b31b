"""Whether runs can be accepted and executed now: the checks of `/ready`, which cost little."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from moonmind_appliance.checks.drained import drained
from moonmind_appliance.checks.engine import BUILD, START, docker_engine, job_image
from moonmind_appliance.checks.finding import Finding, Level, guarded, wrong
from moonmind_appliance.checks.github_access import token_is_set
from moonmind_appliance.checks.logins import any_login, logins
from moonmind_appliance.checks.machine import database, free_space
from moonmind_appliance.checks.service import workers
from moonmind_appliance.resources import Resources

# Probes come every few seconds and from many callers: limit the requests to the engine.
_CACHED_SECONDS = 5.0
# For callers that do not wait: how old the findings may become, and how long the checks may take.
_REFRESH_AFTER = 15.0
_LONGEST_REFRESH = 30.0
# Seconds for which a caller waits for the checks: each waiting request occupies a thread of the API.
_LONGEST_WAIT = 3.0


def readiness(resources: Resources) -> list[Finding]:
    """The checks of `/ready`, made now. Never raises, and contacts no other machine than the Docker engine's."""
    return list(_by_name(resources).values())


def _by_name(resources: Resources) -> dict[str, Finding]:
    """The same checks by their names in `/ready`."""
    settings = resources.settings
    found = {
        "database": _one("database", lambda: database(settings, resources)),
        "drain": _drain(resources),
        "disk": _one("disk", lambda: free_space(settings, resources.engine)),
        "engine": _one("Docker engine", lambda: docker_engine(resources.engine), to_do=START),
    }
    if found["engine"].level is not Level.WRONG:
        found["job_image"] = _one("job image", lambda: job_image(resources.engine, settings), to_do=BUILD)
    found["github_token"] = token_is_set(settings)
    found["login"] = any_login(guarded("logins", lambda: logins(resources)))
    return found


class Readiness:
    """`readiness`, cached for a few seconds, and the threads of the process that serves. Thread-safe.

    One thread at a time makes the checks: an engine that hangs must not occupy the threads of all callers.

    `clock`: monotonic seconds. `longest_wait`: seconds for which `now` waits for the checks.
    """

    def __init__(
        self,
        resources: Resources,
        alive: Callable[[], Mapping[str, bool]],
        clock: Callable[[], float] = time.monotonic,
        *,
        longest_wait: float = _LONGEST_WAIT,
    ) -> None:
        self._resources = resources
        self._alive = alive
        self._clock = clock
        self._longest_wait = longest_wait
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._found: dict[str, Finding] = {}
        self._refreshing: threading.Thread | None = None
        self._refresh_began = 0.0

    def now(self) -> dict[str, Finding]:
        """The checks by their names in `/ready`. If they take too long, the last findings, and that as a problem."""
        refreshing = self._refresh_after(_CACHED_SECONDS)
        if refreshing is not None:
            refreshing.join(self._longest_wait)
        return self._known(longest=0.0)

    def last(self) -> dict[str, Finding]:
        """The latest findings, without waiting: old ones are renewed in another thread. Only `workers` at first.

        An engine that has not answered for a while is a problem.
        """
        self._refresh_after(_REFRESH_AFTER)
        return self._known(longest=_LONGEST_REFRESH)

    def _refresh_after(self, seconds: float) -> threading.Thread | None:
        """The thread that makes the checks, if it runs, or the findings are older than that."""
        with self._lock:
            if self._refreshing is None and self._clock() - self._at > seconds:
                self._refresh_began = self._clock()
                self._refreshing = threading.Thread(target=self._refresh, name="readiness", daemon=True)
                self._refreshing.start()
            return self._refreshing

    def _known(self, *, longest: float) -> dict[str, Finding]:
        with self._lock:
            found = self._found | {"workers": workers(self._alive())}
            waited = self._clock() - self._refresh_began
            if self._refreshing is not None and waited > longest:
                found["engine"] = wrong("Docker engine", f"No answer for {waited:.0f} s.", START)
        if "drain" in found:
            # Not cached: operators look at once whether a drain or a resume had an effect.
            found["drain"] = _drain(self._resources)
        return found

    def _refresh(self) -> None:
        found: dict[str, Finding] = {}
        try:
            found = _by_name(self._resources)
        finally:
            with self._lock:
                self._found, self._at, self._refreshing = found, self._clock(), None


def _drain(resources: Resources) -> Finding:
    return _one("drain", lambda: drained(resources))


def _one(check: str, check_now: Callable[[], Finding], *, to_do: str = "") -> Finding:
    findings: Iterator[Finding] = guarded(check, check_now, to_do=to_do)
    return next(findings)
