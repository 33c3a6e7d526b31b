"""A GitHub App: its own requests to GitHub, and clients with installation tokens.

The rules are GitHub's: docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app, "Generating a JSON
Web Token (JWT) for a GitHub App" and "Generating an installation access token for a GitHub App";
docs.github.com/rest/apps/apps and docs.github.com/rest/apps/installations. An installation token is valid for one hour,
for at most the installation's repositories and permissions.
"""

import re
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Self

import httpx

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github.app_answers import NEEDED, Installation, IssuedToken, RegisteredApp
from moonmind_appliance.github.app_errors import AppErrors
from moonmind_appliance.github.app_key import AppKey
from moonmind_appliance.github.app_tokens import SETTLING, InstallationTokens
from moonmind_appliance.github.connection import (
    DEFAULT_PAUSES,
    DEFAULT_TIMEOUT,
    Connection,
    RateLimit,
    decoded,
    utc_now,
)
from moonmind_appliance.github.known_tokens import KnownTokens, TokenNames
from moonmind_appliance.github.rest import GitHub, repository_path
from moonmind_appliance.github.tokens import is_sendable
from moonmind_appliance.settings import Secret, Settings

_CREATED = 201
_RENAMED = re.compile(r"/repositories/(\d+)/installation$")


class GitHubApp:
    """Makes an App's own requests, and clients for single repositories. Safe to use from several threads.

    Nothing is requested, and the key is not read, before the first call.

    Args:
        app_id: the App's id, or its client id.
        connection: to GitHub, with the App's JWTs; `close` closes it.
        names: makes each installation token known before it is used.
        settling: see `SETTLING`.
    """

    def __init__(
        self, app_id: str, connection: Connection, names: TokenNames, settling: Sequence[float] = SETTLING
    ) -> None:
        self.app_id = app_id
        self.connection = connection
        self._names = names
        self._settling = settling
        self._errors = AppErrors(app_id, connection.api_url, connection.clock)
        self._lock = threading.Lock()
        self._limits: dict[str, RateLimit] = {}

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        pauses: Sequence[float] = DEFAULT_PAUSES,
        transport: httpx.BaseTransport | None = None,
        known: KnownTokens | None = None,
        clock: Callable[[], datetime] = utc_now,
        settling: Sequence[float] = SETTLING,
    ) -> Self | None:
        """The App that the settings name; None if they name none.

        `known` gets each installation token, and each JWT, before it is used. For the others see `Connection.of` and
        `SETTLING`.

        Raises:
            SettingsError: a CA file cannot be used.
            OSError: a CA file cannot be read.
        """
        if settings.github_app_id is None or settings.github_app_private_key is None:
            return None
        names = TokenNames(known, clock)
        key = AppKey(settings.github_app_id, settings.github_app_private_key, clock, names.learn_jwt)
        connection = Connection.of(settings, key, timeout=timeout, pauses=pauses, transport=transport, clock=clock)
        return cls(settings.github_app_id, connection, names, settling)

    def check_key(self) -> None:
        """Read the key.

        Raises:
            SettingsError: it is not an RSA private key.
        """
        self.connection.tokens.current()

    def registered(self) -> RegisteredApp:
        """The App as GitHub knows it.

        Raises:
            GitHubError: GitHub does not accept the App's key, or does not answer.
        """
        try:
            return self.connection.ask("GET", "/app", answer=RegisteredApp)
        except GitHubError as error:
            raise self._errors.of_request(error) from None

    def installation(self, slug: str) -> Installation:
        """The installation of the App on this repository.

        Raises:
            GitHubAppError: there is none that a run can use.
            GitHubError: GitHub does not answer.
        """
        return self._find(slug)[0]

    def issue(self, slug: str) -> tuple[IssuedToken, Installation]:
        """A new token for this repository only, with only the permissions of `NEEDED`.

        Raises:
            GitHubAppError: the App is not set up for it.
            GitHubError: GitHub does not answer.
        """
        installation, number = self._find(slug)
        only: dict[str, Any] = {"repositories": [slug.partition("/")[2]]}
        if number is not None:
            only = {"repository_ids": [number]}
        path = f"/app/installations/{installation.id}/access_tokens"
        try:
            issued = self.connection.ask("POST", path, body={**only, "permissions": NEEDED}, answer=IssuedToken)
        except GitHubError as error:
            raise self._errors.of_issue(error, slug) from None
        if not is_sendable(Secret(issued.token)):
            raise self._errors.wrong_address(_CREATED)
        return issued, installation

    def client(self, slug: str) -> GitHub:
        """A client for one repository, with tokens for that repository only.

        Call `tokens.end()` of the client when it is not needed.
        """
        with self._lock:
            # GitHub counts the requests of an installation together; an account has one.
            limit = self._limits.setdefault(slug.partition("/")[0].lower(), RateLimit())
        tokens = InstallationTokens(self, slug, self._names, self._settling)
        return GitHub(self.connection.with_tokens(tokens, limit=limit))

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self.connection.close()

    def _find(self, slug: str) -> tuple[Installation, int | None]:
        """The installation, and the repository's number if it was renamed."""
        try:
            response = self.connection.send("GET", f"{repository_path(slug)}/installation")
            found = decoded(response, Installation)
        except GitHubError as error:
            raise self._errors.of_lookup(error, slug) from None
        if found.suspended_at is not None:
            raise self._errors.suspended(slug)
        if missing := found.missing():
            raise self._errors.not_permitted(slug, missing)
        renamed = _RENAMED.search(response.request.url.path)
        return found, int(renamed[1]) if renamed else None
