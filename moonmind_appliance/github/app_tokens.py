"""The installation tokens of one repository: requested at the first use, renewed, and revoked at the end.

The rules are GitHub's: docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app, "Generating an
installation access token for a GitHub App". A token is valid for one hour and can revoke itself.
"""

import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

import msgspec

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github.app_answers import Installation, IssuedToken
from moonmind_appliance.github.connection import Connection
from moonmind_appliance.github.known_tokens import TokenNames
from moonmind_appliance.github.tokens import LEFT_AT_USE, CredentialReport, FixedToken, UsedToken
from moonmind_appliance.settings import Secret

SETTLING = (1.0, 2.0, 4.0)
"""Seconds before each repetition of a call with a new token that GitHub does not know yet: GitHub's servers may not
know it at once. octokit waits this long (octokit/auth-app.js, pull request 85)."""

_NEW = timedelta(seconds=5)
_UNAUTHORIZED = 401
# A stop of the appliance must not wait long for a revocation: the token expires by itself.
_REVOKE_TIMEOUT, _REVOKE_PAUSES = 3.0, (0.5,)

_log = logging.getLogger(__name__)


class TokenIssuer(Protocol):
    """The App that requests the tokens."""

    app_id: str
    connection: Connection

    def issue(self, slug: str) -> tuple[IssuedToken, Installation]:
        """A new token for this repository only, with only the needed permissions.

        Raises:
            GitHubAppError: the App is not set up for it.
            GitHubError: GitHub does not answer.
        """


class TokenState(StrEnum):
    """What is known about a token's end, as the credential audit shows it."""

    IN_USE = "in use"
    REJECTED = "rejected by GitHub"
    REVOKED = "revoked"
    OVER = "over"
    NOT_REVOKED = "not revoked: it expires by itself"


ENDED = frozenset({TokenState.REVOKED, TokenState.OVER})
"""The states in which a token certainly cannot be used."""

_OPEN = frozenset({TokenState.IN_USE, TokenState.REJECTED})


class _Taken(msgspec.Struct):
    """A token, and why it was requested."""

    secret: Secret
    taken_at: datetime
    expires_at: datetime
    why: str
    state: TokenState = TokenState.IN_USE


class InstallationTokens:
    """A `TokenSource`: an App's tokens for one repository. Requested at the first use, renewed before they expire.

    `settling`: see `SETTLING`.
    """

    may_push = True

    def __init__(self, app: TokenIssuer, slug: str, names: TokenNames, settling: Sequence[float]) -> None:
        self._app = app
        self._slug = slug
        self._names = names
        self._settling = tuple(settling)
        self._clock = app.connection.clock
        self._lock = threading.Lock()
        self._taken: list[_Taken] = []
        self._permissions: dict[str, str] = {}
        self._installation: int | None = None
        self._ended = False
        self._name = names.new_client()

    def current(self, valid_for: float = LEFT_AT_USE) -> Secret:
        """See `TokenSource`. A token is not renewed in the first half of its lifetime."""
        with self._lock:
            if not self._taken:
                return self._take("first use")
            newest, now = self._taken[-1], self._clock()
            margin = min(timedelta(seconds=valid_for), (newest.expires_at - newest.taken_at) / 2)
            if now + margin < newest.expires_at and not self._ended:
                return newest.secret
            return self._take("it expires soon" if now < newest.expires_at else "it had expired")

    def settling(self, token: Secret) -> Sequence[float]:
        """See `TokenSource`."""
        with self._lock:
            taken = next((each for each in self._taken if each.secret == token), None)
            is_new = taken is not None and self._clock() - taken.taken_at < _NEW
            return self._settling if is_new else ()

    def replace(self, rejected: Secret) -> Secret | None:
        """See `TokenSource`. Another thread may have renewed it already."""
        with self._lock:
            if self._ended or not self._taken:
                return None
            if self._taken[-1].secret != rejected:
                return self._taken[-1].secret
            self._taken[-1].state = TokenState.REJECTED
            return self._take("GitHub rejected it")

    def end(self) -> None:
        """See `TokenSource`."""
        with self._lock:
            first, self._ended = not self._ended, True
            for taken in self._taken:
                if taken.state in _OPEN:
                    taken.state = self._revoke(taken)
        if first and self._taken:
            self._names.end(self._name)

    def report(self) -> CredentialReport:
        """See `TokenSource`."""
        with self._lock:
            return CredentialReport(
                credential="GITHUB_APP_ID",
                kind="installation token of a GitHub App",
                app_id=self._app.app_id,
                installation_id=self._installation,
                repositories=[self._slug],
                permissions=self._permissions,
                renewed=max(0, len(self._taken) - 1),
                revoked=bool(self._taken) and all(taken.state in ENDED for taken in self._taken),
                tokens=[
                    UsedToken(
                        taken_at=f"{taken.taken_at:%Y-%m-%dT%H:%M:%S.%fZ}",
                        why=taken.why,
                        expires_at=f"{taken.expires_at:%Y-%m-%dT%H:%M:%SZ}",
                        end=taken.state.value,
                    )
                    for taken in self._taken
                ],
            )

    def _take(self, why: str) -> Secret:
        if self._ended:
            raise GitHubError("The run's access to GitHub has ended.", status=None)
        issued, installation = self._app.issue(self._slug)
        self._names.learn(self._name, issued.token)
        self._permissions, self._installation = issued.permissions, installation.id
        secret = Secret(issued.token)
        self._taken.append(_Taken(secret, self._clock(), issued.expires_at.astimezone(UTC), why))
        return secret

    def _revoke(self, taken: _Taken) -> TokenState:
        """Revoke a token. A rejected one, too: the 401 may come from a server that did not know the token yet."""
        if self._clock() >= taken.expires_at:
            return TokenState.OVER
        connection = self._app.connection.with_tokens(
            FixedToken(taken.secret), pauses=_REVOKE_PAUSES, timeout=_REVOKE_TIMEOUT
        )
        try:
            connection.send("DELETE", "/installation/token")
        except (GitHubError, RuntimeError) as error:
            # httpx raises RuntimeError if `close` was called before.
            if isinstance(error, GitHubError) and error.status == _UNAUTHORIZED:
                return TokenState.OVER
            _log.warning(
                "The installation token for %s could not be revoked. It expires by itself at %s UTC: %s",
                self._slug,
                f"{taken.expires_at:%H:%M}",
                error,
            )
            return TokenState.NOT_REVOKED
        return TokenState.REVOKED
