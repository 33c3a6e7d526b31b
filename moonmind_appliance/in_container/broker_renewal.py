"""Renews the real login: one renewal at a time, with at least half a minute between them, and more after each one.

The agent cannot ask for one. Codex itself renews, by the check that the appliance also uses (`codex_check`).
"""

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.broker_login import Login, LoginFile, NoLogin
from moonmind_appliance.in_container.codex_check import check
from moonmind_appliance.in_container.codex_home import CodexHome

BEFORE_END = 300.0
# An agent that can make OpenAI refuse a valid token must not cause renewals without end: each one doubles the time.
LEAST_SECONDS, MOST_SECONDS = 30.0, 3600.0
Check = Callable[[], dict[str, Any]]


class Renewal:
    """The real login, renewed if necessary.

    Args:
        file: the login file.
        check: renews the login in the file, and returns Codex's report; it blocks.
        begins: called before that; its end follows. Until then the container must not be removed: OpenAI may already
            have replaced the tokens of the file.
        ends: takes the report.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        file: LoginFile,
        check: Check,
        begins: Callable[[], object],
        ends: Callable[[dict[str, Any]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._check = check
        self._begins, self._ends = begins, ends
        self._clock = clock
        self._last, self._pause = float("-inf"), LEAST_SECONDS
        self._dead: Login | None = None
        self._running: asyncio.Task[None] | None = None

    async def login(self) -> Login:
        """The login to use now; it is renewed first if its access token ends within five minutes.

        Raises:
            NoLogin: there is none.
        """
        login = self._file.read()
        if login.expires is not None and login.expires - time.time() < BEFORE_END:
            await self._renew()
            login = self._file.read()
        return login

    async def refused(self, login: Login) -> bool:
        """OpenAI refused the access token of that login: renew it, unless the file already has another one.

        Returns whether there is another one now.
        """
        if self.is_current(login):
            await self._renew()
        return not self.is_current(login)

    def is_dead(self) -> bool:
        """Whether OpenAI refused to renew the login that the file contains."""
        return self._dead is not None and self.is_current(self._dead)

    def is_current(self, login: Login) -> bool:
        """Whether the file still contains that login, or none."""
        try:
            return self._file.read().access_token == login.access_token
        except NoLogin:
            return True

    async def _renew(self) -> None:
        if self._running is None:
            if self._clock() - self._last < self._pause:
                return
            self._running = asyncio.create_task(self._run())
        # A request that ends does not end the renewal: its new tokens must be stored.
        await asyncio.shield(self._running)

    async def _run(self) -> None:
        report: dict[str, Any] = {"refreshed": False, "problem": "The check of the login ended unexpectedly."}
        self._begins()
        try:
            login = self._file.read()
            report = await asyncio.to_thread(self._check)
            self._dead = login if was_refused(report) else None
            if report.get("refreshed"):
                self._pause = min(2 * self._pause, MOST_SECONDS)
        except NoLogin as error:
            report["problem"] = str(error)
        except OSError as error:
            report["problem"] = f"Codex could not be started: {error.strerror}."
        finally:
            self._last = self._clock()
            self._running = None
            self._ends(report)


def was_refused(report: dict[str, Any]) -> bool:
    """Whether Codex reports that OpenAI refused the renewal: there is a response, and it has no account."""
    result = report.get("account", {}).get("result")
    return isinstance(result, dict) and result.get("account") is None and not report.get("refreshed")


def checking(command: list[str], seconds: float, home: Path, volume: Path) -> Check:
    """The check by Codex's app server `command`, in a new CODEX_HOME each time."""

    def run() -> dict[str, Any]:
        with CodexHome(home, volume) as codex_home:
            report = check(command, seconds, codex_home)
        shutil.rmtree(codex_home.folder, ignore_errors=True)
        return report

    return run
