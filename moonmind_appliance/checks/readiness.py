"""Whether runs can be accepted and executed now: the checks of `/ready`, which cost little."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from moonmind_appliance.checks.engine import BUILD, START, docker_engine, job_image
from moonmind_appliance.checks.finding import Finding, Level, guarded
from moonmind_appliance.checks.github_access import token_is_set
from moonmind_appliance.checks.logins import any_login, logins
from moonmind_appliance.checks.machine import database, free_space
from moonmind_appliance.checks.service import workers
from moonmind_appliance.resources import Resources

# Probes come every few seconds and from many callers: limit the requests to the engine.
_CACHED_SECONDS = 5.0


def readiness(resources: Resources) -> list[Finding]:
    """The checks of `/ready`, made now. Never raises, and contacts no other machine than the Docker engine's."""
    return list(_by_name(resources).values())


def _by_name(resources: Resources) -> dict[str, Finding]:
    """The same checks by their names in `/ready`."""
    settings = resources.settings
    found = {
        "database": _one("database", lambda: database(settings, resources)),
        "disk": _one("disk", lambda: free_space(settings)),
        "engine": _one("Docker engine", lambda: docker_engine(resources.engine), to_do=START),
    }
    if found["engine"].level is not Level.WRONG:
        found["job_image"] = _one("job image", lambda: job_image(resources.engine, settings), to_do=BUILD)
    found["github_token"] = token_is_set(settings)
    found["login"] = any_login(guarded("logins", lambda: logins(resources)))
    return found


class Readiness:
    """`readiness`, cached for a few seconds, and the threads of the process that serves. Thread-safe."""

    def __init__(self, resources: Resources, alive: Callable[[], Mapping[str, bool]]) -> None:
        self._resources = resources
        self._alive = alive
        self._lock = threading.Lock()
        self._at = 0.0
        self._found: dict[str, Finding] = {}

    def now(self) -> dict[str, Finding]:
        """The checks by their names in `/ready`."""
        with self._lock:
            if not self._found or time.monotonic() - self._at > _CACHED_SECONDS:
                self._found = _by_name(self._resources)
                self._at = time.monotonic()
            found = dict(self._found)
        return found | {"workers": workers(self._alive())}


def _one(check: str, check_now: Callable[[], Finding], *, to_do: str = "") -> Finding:
    findings: Iterator[Finding] = guarded(check, check_now, to_do=to_do)
    return next(findings)
