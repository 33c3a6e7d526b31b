"""Whether runs can be accepted and executed now: the checks of `/ready`, which cost little."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping

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


def readiness(resources: Resources) -> list[Finding]:
    """The checks of `/ready`, made now. Never raises, and contacts no other machine than the Docker engine's."""
    return list(_by_name(resources).values())


def _by_name(resources: Resources) -> dict[str, Finding]:
    """The same checks by their names in `/ready`."""
    settings = resources.settings
    found = {
        "database": _one("database", lambda: database(settings, resources)),
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

    `clock`: monotonic seconds.
    """

    def __init__(
        self,
        resources: Resources,
        alive: Callable[[], Mapping[str, bool]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resources = resources
        self._alive = alive
        self._clock = clock
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._found: dict[str, Finding] = {}
        self._refreshing = threading.Lock()
        self._refresh_began = 0.0

    def now(self) -> dict[str, Finding]:
        """The checks by their names in `/ready`."""
        with self._lock:
            if not self._found or self._clock() - self._at > _CACHED_SECONDS:
                self._found = _by_name(self._resources)
                self._at = self._clock()
            found = dict(self._found)
        return found | {"workers": workers(self._alive())}

    def last(self) -> dict[str, Finding]:
        """The latest findings, without waiting: old ones are renewed in another thread. Only `workers` at first.

        An engine that has not answered for a while is a problem.
        """
        if self._clock() - self._at > _REFRESH_AFTER and self._refreshing.acquire(blocking=False):
            self._refresh_began = self._clock()
            threading.Thread(target=self._refresh, name="readiness", daemon=True).start()
        found = self._found | {"workers": workers(self._alive())}
        if self._refreshing.locked() and self._clock() - self._refresh_began > _LONGEST_REFRESH:
            found["engine"] = wrong("Docker engine", f"No answer for {_LONGEST_REFRESH:g} s.", START)
        return found

    def _refresh(self) -> None:
        try:
            self.now()
        finally:
            self._refreshing.release()


def _one(check: str, check_now: Callable[[], Finding], *, to_do: str = "") -> Finding:
    findings: Iterator[Finding] = guarded(check, check_now, to_do=to_do)
    return next(findings)
