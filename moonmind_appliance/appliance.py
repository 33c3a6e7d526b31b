"""The composition root: creates everything from `Settings`; starts and stops the process.

Order of start: the data folder's lock, recovery, workers, API. Order of stop: no new runs, running phases end or are
interrupted, no new requests, connections close. `Appliance` is for the serving process; other processes (command line,
TUI) get the same resources on the same database from `attach.py`.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from litestar import Litestar

from moonmind_appliance.api.app import build_api
from moonmind_appliance.api.parts import ApiParts, ProcessState
from moonmind_appliance.attach import attach, shard_names
from moonmind_appliance.checks import Finding, Readiness
from moonmind_appliance.checks.keycloak import identity_provider
from moonmind_appliance.dispatch import Workers
from moonmind_appliance.errors import ApplianceError, DatabaseUnusable
from moonmind_appliance.execution.executor import Executor
from moonmind_appliance.execution.recover import Recovered, recover, requeue_expired
from moonmind_appliance.execution.sweep import Sweeper, When
from moonmind_appliance.execution.webhook import WebhookSender
from moonmind_appliance.freed_memory import return_to_system
from moonmind_appliance.github.app_key import AppKey
from moonmind_appliance.models import Authenticated
from moonmind_appliance.oidc.choose import verifier_of
from moonmind_appliance.resources import utc_now
from moonmind_appliance.retention.hourly import HourlyRetention
from moonmind_appliance.scheduling.wake import maintain, wake_queued
from moonmind_appliance.settings import Settings
from moonmind_appliance.store import make_data_folder
from moonmind_appliance.store.lock import DataFolderLock
from moonmind_appliance.version import appliance_version
from moonmind_appliance.webhook import WebhookClient

if TYPE_CHECKING:
    # See `oidc.choose`.
    from moonmind_appliance.oidc.verifier import OidcVerifier

_LOOK_AT_LOGINS_EVERY = 60
_WAKE_AGAIN_EVERY = 300
_RETAIN_EVERY = 3600
_CHECK_DATABASE_EVERY = 6 * 3600
_RETURN_MEMORY_EVERY = 30
# A database connection that was not used for so long is closed.
_UNUSED_SECONDS = 15
_OIDC_CHECK_AGE = 15
_START_AGAIN_EVERY = 1.0
# Seconds between two log lines about a start that waits.
_REPORT_EVERY = 60.0
# Longest batch of the retention job.
_RETENTION_ENDS_SECONDS = 5
INTERRUPTION_SECONDS = 10
"""Most seconds for the workers to end after their runs were interrupted."""
# Longest delay until `interrupt` ends the wait.
_GRACE_STEP = 0.2

_log = logging.getLogger(__name__)


class Appliance:
    """The serving process. The API's lifespan calls `start` and `stop` once each."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        make_data_folder(settings.moonmind_data_dir)
        self._lock = DataFolderLock(settings.moonmind_data_dir)
        # Before the database is opened: it may be migrated, and no other process may serve it then.
        self._lock.acquire()
        try:
            self._workers = Workers(settings.moonmind_data_dir, shard_names(settings), work=self._work)
            receiver = WebhookClient.of(settings)
            _check_app_key(settings)
            self._opened = ExitStack()
            self.resources = self._opened.enter_context(attach(settings, wakeups=self._workers))
        except BaseException:
            self._lock.release()
            raise
        self.start_failure: ApplianceError | None = None
        """Why the start in the API's lifespan failed; None if it did not."""
        self._executor = Executor(self.resources)
        # On the monotonic clock; None until the stop begins.
        self._grace_ends: float | None = None
        self._sweeper = Sweeper(self.resources)
        self._retention = HourlyRetention(self.resources)
        self._webhook = WebhookSender(self.resources, receiver)
        self._oidc = _verifier(settings)
        self._readiness = Readiness(self.resources, self._workers.alive)
        self.api = build_api(
            ApiParts(
                resources=self.resources,
                authenticate=self._authenticator(),
                readiness=self._ready,
                version=appliance_version(),
                process=ProcessState(checks=self._readiness.last, threads=self.threads, jobs=self._jobs),
                lifespan=self._lifespan,
            )
        )

    @asynccontextmanager
    async def _lifespan(self, _: Litestar) -> AsyncIterator[None]:
        try:
            await asyncio.to_thread(self.start)
        except ApplianceError as error:
            # The server ends at once (`serving`). Raised here, it would be logged as a bug, with a traceback.
            self.start_failure = error
        try:
            yield
        finally:
            await asyncio.to_thread(self.stop)

    def start(self) -> Recovered:
        """Recover from a crash, then start the workers.

        Waits while the database cannot be written, for example because another program locks it. A stop ends the wait;
        then nothing is started.
        """
        self.resources.redactor.prepare()
        recovered = self._recover()
        if recovered is None:
            return Recovered([], [])
        self._webhook.start()
        if recovered.runs_requeued or recovered.containers_removed:
            _log.warning(
                "Recovered from an unclean stop: %d run(s) resume, %d container(s) removed.",
                len(recovered.runs_requeued),
                len(recovered.containers_removed),
            )
        self._workers.every("logins", _LOOK_AT_LOGINS_EVERY, self._look_at_logins)
        self._workers.every("wake-again", _WAKE_AGAIN_EVERY, self._wake_again)
        self._workers.every("retention", _RETAIN_EVERY, self._retention.start)
        self._workers.every("memory", _RETURN_MEMORY_EVERY, self._return_memory)
        self._workers.every("database check", _CHECK_DATABASE_EVERY, self._check_database)
        self._workers.start()
        return recovered

    def _return_memory(self) -> None:
        self.resources.store.database.close_unused(_UNUSED_SECONDS)
        return_to_system()

    def _recover(self) -> Recovered | None:
        report_at = float("-inf")
        while not self.resources.stopping.wait(0.0 if report_at < 0 else _START_AGAIN_EVERY):
            try:
                self._webhook.begin()
                return recover(self.resources)
            except DatabaseUnusable as error:
                if not error.temporary:
                    raise
                if time.monotonic() >= report_at:
                    _log.warning("The start waits until the database can be written: %s", error)
                    report_at = time.monotonic() + _REPORT_EVERY
        return None

    def threads(self) -> dict[str, bool]:
        """Each thread of the workers, and whether it runs."""
        return self._workers.alive()

    def _jobs(self) -> dict[str, float]:
        return self._workers.jobs() | {"retention": self._retention.succeeded_at}

    def begin_stopping(self) -> list[str]:
        """Refuse new work, and give the running phases STOP_GRACE to end; returns their runs, for display. Idempotent.

        A signal triggers it.
        """
        if self._grace_ends is None:
            self._grace_ends = time.monotonic() + self.settings.stop_grace
        return self._executor.begin_stop()

    def wait_for_phases(self) -> None:
        """After `begin_stopping`: return when no run is running, when STOP_GRACE is over, or after `interrupt`."""
        while self._grace_ends is not None and time.monotonic() < self._grace_ends:
            if self._executor.wait(_GRACE_STEP):
                return

    def interrupt(self) -> list[str]:
        """Refuse new work, and interrupt the running runs at once; returns them, for display. Idempotent."""
        self._grace_ends = time.monotonic()
        return self._executor.stop()

    def stop(self) -> None:
        """Stop and close everything; runs that have not ended are queued and continue after the next start. Idempotent.

        Takes at most STOP_GRACE and `INTERRUPTION_SECONDS`; STOP_GRACE counts from `begin_stopping`.
        """
        began = time.monotonic()
        self.begin_stopping()
        self.wait_for_phases()
        for run in self.interrupt():
            _log.warning("Run %s is interrupted; it resumes after the restart.", run)
        if not self._workers.stop(INTERRUPTION_SECONDS):
            _log.warning(
                "A worker did not stop within %d s; recovery cleans up at the next start.", INTERRUPTION_SECONDS
            )
        self._retention.join(_RETENTION_ENDS_SECONDS)
        self._webhook.stop()
        if self._oidc is not None:
            self._oidc.close()
        self._opened.close()
        self._lock.release()
        _log.info("Stopped in %.1f s.", time.monotonic() - began)

    def _work(self, shard: int) -> None:
        self._executor.work(shard)

    def _authenticator(self) -> Callable[[str], Authenticated | None]:
        return self._oidc.authenticate if self._oidc is not None else self.resources.store.tokens.authenticate

    def _ready(self) -> dict[str, Finding]:
        found = self._readiness.now()
        if self._oidc is not None:
            found["identity_provider"] = identity_provider(self._oidc.check(max_age=_OIDC_CHECK_AGE))
        return found

    def _look_at_logins(self) -> None:
        maintain(self.resources)

    def _wake_again(self) -> None:
        requeue_expired(self.resources, running=self._executor.running())
        self._sweeper.sweep(When.PERIODIC)
        wake_queued(self.resources)

    def _check_database(self) -> None:
        # Damage in a part that is rarely read must be known while there are backups from before it.
        try:
            self.resources.store.database.check()
        except DatabaseUnusable as error:
            _log.error("%s", error)


def _check_app_key(settings: Settings) -> None:
    """Read the GitHub App's key, if one is set, so that an unusable one is an error at the start, not in the first run.

    Raises:
        SettingsError: it is not usable.
    """
    if settings.github_app_id is not None and settings.github_app_private_key is not None:
        AppKey(settings.github_app_id, settings.github_app_private_key, utc_now).current()


def _verifier(settings: Settings) -> "OidcVerifier | None":
    secret = settings.oidc_client_secret
    if settings.auth_provider == "keycloak" and secret and secret.reveal() == "changeme":
        _log.warning("OIDC_CLIENT_SECRET is `changeme`: set your own secret in Keycloak and here.")
    return verifier_of(settings)
