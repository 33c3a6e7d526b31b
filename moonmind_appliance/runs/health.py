"""Whether work can be taken and run now, check by check."""

import shutil
import threading
import time
from collections.abc import Callable

import msgspec

from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.models import LoginState
from moonmind_appliance.runs.tools import Tools

# Probes come every few seconds and from anybody: the engine is asked this often at the most.
_CACHED_SECONDS = 5.0


class Check(msgspec.Struct, frozen=True):
    """One thing that is needed; `message` says what is wrong and what to do, and holds no secret."""

    name: str
    ok: bool
    message: str = ""


def check_all(tools: Tools) -> list[Check]:
    """Everything a run needs, looked at now. Never raises."""
    checks = [_database(tools), _disk(tools), _engine(tools)]
    if checks[-1].ok:
        checks.append(_image(tools))
    checks += [_github(tools), _logins(tools)]
    return checks


class Checks:
    """`check_all`, remembered for a few seconds. Thread-safe."""

    def __init__(self, tools: Tools, alive: Callable[[], dict[str, bool]]) -> None:
        self._tools = tools
        self._alive = alive
        self._lock = threading.Lock()
        self._at = 0.0
        self._checks: list[Check] = []

    def now(self) -> list[Check]:
        """All checks, and that every worker thread lives."""
        with self._lock:
            if not self._checks or time.monotonic() - self._at > _CACHED_SECONDS:
                self._checks = check_all(self._tools)
                self._at = time.monotonic()
            checks = list(self._checks)
        dead = [name for name, lives in self._alive().items() if not lives]
        words = f"Threads that do not live: {', '.join(dead)}. Restart the appliance." if dead else ""
        return [*checks, Check("workers", not dead, words)]


def _database(tools: Tools) -> Check:
    try:
        tools.store.runs.counts()
    except ApplianceError as error:
        return Check("database", ok=False, message=str(error))
    return Check("database", ok=True)


def _disk(tools: Tools) -> Check:
    free = shutil.disk_usage(tools.settings.moonmind_data_dir).free
    if free < tools.settings.min_free_disk:
        words = f"The data folder has {free // 1024**2} MiB free, less than MIN_FREE_DISK. Make room."
        return Check("disk", ok=False, message=words)
    return Check("disk", ok=True)


def _engine(tools: Tools) -> Check:
    try:
        tools.engine.info()
    except ApplianceError as error:
        return Check("engine", ok=False, message=str(error))
    return Check("engine", ok=True)


def _image(tools: Tools) -> Check:
    reference = tools.settings.spec_automation_job_image
    try:
        if tools.engine.image(reference) is None:
            words = f"The engine has no image {reference}. Build it with ./install.sh."
            return Check("job_image", ok=False, message=words)
    except ApplianceError as error:
        return Check("job_image", ok=False, message=str(error))
    return Check("job_image", ok=True)


def _github(tools: Tools) -> Check:
    if tools.github is None:
        return Check("github_token", ok=False, message="Set GITHUB_TOKEN or GITHUB_TOKEN_FILE and restart.")
    return Check("github_token", ok=True)


def _logins(tools: Tools) -> Check:
    shards = tools.store.shards.all(len(tools.shards))
    if any(shard.login is LoginState.PRESENT for shard in shards):
        return Check("login", ok=True)
    words = "No shard is signed in: runs wait. Run `moonmind-appliance login-shard 0`."
    return Check("login", ok=False, message=words)
