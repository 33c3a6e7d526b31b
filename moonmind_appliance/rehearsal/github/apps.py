"""The stand-in's GitHub Apps: their keys, their installations, and the tokens of these; with GitHub's rules for them.

The rules are those of docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app ("Generating a JSON
Web Token (JWT) for a GitHub App", "Generating an installation access token for a GitHub App") and
docs.github.com/rest/apps/apps. The messages are those that users report: of a JWT's times, octokit/auth-app.js#698 and
probot/probot#967; of a suspended installation, octokit/octokit.rb#1307; of a permission that the installation does not
have, peter-murray/workflow-application-token-action#48. The form of the tokens is that of github.blog/changelog,
2026-05-15, "GitHub App installation tokens: per-request override header".
"""

import base64
import json
import secrets
import string
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from moonmind_appliance.rehearsal.github.refusals import Refused, suspended

TOKEN_SECONDS = 3600.0
"""How long an installation token is valid."""

GRANTED = {"contents": "write", "pull_requests": "write", "metadata": "read"}

_LONGEST_JWT = timedelta(minutes=10)
_LEVELS = ("read", "write", "admin")
_CREATE_TOKEN = "https://docs.github.com/rest/reference/apps#create-an-installation-access-token-for-an-app"  # noqa: S105 - an address


def covers(permissions: Mapping[str, str], name: str, level: str) -> bool:
    """Whether the permissions include that level of one of them."""
    given = permissions.get(name)
    return given in _LEVELS and level in _LEVELS and _LEVELS.index(given) >= _LEVELS.index(level)


@dataclass
class Installation:
    """Where an App is installed. `repositories` are slugs in lower case; None: all of the account."""

    installation_id: int
    account: str
    permissions: dict[str, str]
    repositories: frozenset[str] | None
    created_at: datetime
    suspended_at: datetime | None = None

    def includes(self, slug: str) -> bool:
        """Whether it includes the repository, by its current name."""
        if slug.partition("/")[0].lower() != self.account.lower():
            return False
        return self.repositories is None or slug.lower() in self.repositories


@dataclass
class RegisteredApp:
    """An App with its public keys."""

    app_id: int
    client_id: str
    slug: str
    name: str
    owner: str
    key: RSAKey
    permissions: dict[str, str]
    created_at: datetime
    installations: list[Installation] = field(default_factory=list)


class IssuedToken(NamedTuple):
    """An installation token that was given out, as tests see it: never its value."""

    repositories: tuple[str, ...]
    permissions: Mapping[str, str]
    expires_at: datetime
    revoked: bool


@dataclass
class InstallationToken:
    """An installation token. `repository_ids` None: all repositories of the installation."""

    app: RegisteredApp
    installation: Installation
    permissions: dict[str, str]
    repositories: tuple[str, ...]
    repository_ids: frozenset[int] | None
    expires_at: datetime
    ends_at: datetime
    revoked: bool = False


class Apps:
    """The Apps of one stand-in. Safe to use from several threads.

    `token_seconds`: how long new tokens are valid. `grace_seconds`: how much longer they work
    than their `expires_at` says. `long_tokens`: they have the form of github.com since 2026; False: the older one of
    GitHub Enterprise Server. `ahead`: how far this clock is ahead of the machine's.
    """

    def __init__(self, next_id: Callable[[], int]) -> None:
        self.token_seconds = TOKEN_SECONDS
        self.grace_seconds = 0.0
        self.long_tokens = True
        self.ahead = timedelta()
        self._next_id = next_id
        self._lock = threading.RLock()
        self._apps: dict[int, RegisteredApp] = {}
        self._tokens: dict[str, InstallationToken] = {}

    def now(self) -> datetime:
        """The time by which JWTs and tokens are valid."""
        return datetime.now(UTC) + self.ahead

    def register(
        self, app_id: int, public_key: bytes, *, client_id: str, permissions: Mapping[str, str] | None = None
    ) -> None:
        """Register an App, or give it another key."""
        with self._lock:
            known = self._apps.get(app_id)
            self._apps[app_id] = RegisteredApp(
                app_id=app_id,
                client_id=client_id,
                slug=f"moonmind-{app_id}",
                name=f"MoonMind {app_id}",
                owner="rehearsal",
                key=RSAKey.import_key(public_key),
                permissions=dict(GRANTED if permissions is None else permissions),
                created_at=self.now(),
                installations=known.installations if known else [],
            )

    def install(
        self,
        app_id: int,
        account: str,
        *,
        repositories: Iterable[str] | None,
        permissions: Mapping[str, str] | None,
        is_suspended: bool,
    ) -> int:
        """Install an App on an account, or change its installation there. Returns the installation's id."""
        with self._lock:
            app = self._apps[app_id]
            now = self.now()
            found = next((each for each in app.installations if each.account.lower() == account.lower()), None)
            if found is None:
                found = Installation(self._next_id(), account, {}, None, now)
                app.installations.append(found)
            found.permissions = dict(app.permissions if permissions is None else permissions)
            found.repositories = None if repositories is None else frozenset(slug.lower() for slug in repositories)
            found.suspended_at = now if is_suspended else None
            return found.installation_id

    def uninstall(self, app_id: int, account: str) -> None:
        """Remove the App's installation, and end its tokens. Idempotent."""
        with self._lock:
            app = self._apps[app_id]
            gone = [each for each in app.installations if each.account.lower() == account.lower()]
            app.installations = [each for each in app.installations if each not in gone]
            self._tokens = {name: token for name, token in self._tokens.items() if token.installation not in gone}

    def authenticate(self, authorization: str) -> RegisteredApp:
        """The App whose JWT a request has.

        Raises:
            Refused: 401, as GitHub says it.
        """
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() not in ("bearer", "token") or given.count(".") != 2:  # noqa: PLR2004 - the parts of a JWT
            raise _not_a_jwt()
        claims = _claims(given)
        app = self._by_issuer(claims.get("iss"))
        if app is None:
            raise Refused(401, "Integration not found")
        try:
            jws.deserialize_compact(given, app.key, algorithms=["RS256"])
        except (JoseError, ValueError):
            raise _not_a_jwt() from None
        now = self.now()
        issued, expires = _moment(claims.get("iat")), _moment(claims.get("exp"))
        if expires is None or expires <= now:
            raise Refused(
                401,
                "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the "
                "assertion expires",
            )
        if expires > now + _LONGEST_JWT:
            raise Refused(401, "'Expiration time' claim ('exp') is too far in the future")
        if issued is None or issued > now:
            raise Refused(
                401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
            )
        return app

    def installation_on(self, app: RegisteredApp, slug: str) -> Installation | None:
        """The App's installation that includes the repository."""
        return next((each for each in app.installations if each.includes(slug)), None)

    def issue(
        self,
        app: RegisteredApp,
        installation_id: int,
        *,
        repositories: Mapping[str, int] | None,
        permissions: Mapping[str, str] | None,
    ) -> tuple[str, InstallationToken]:
        """A new token for these repositories (slug to id; None: all), with these permissions (None: all).

        Raises:
            Refused: no such installation, it is suspended, or it lacks a requested permission or repository.
        """
        with self._lock:
            installation = next((e for e in app.installations if e.installation_id == installation_id), None)
            if installation is None:
                raise Refused(404, "Not Found", operation=_CREATE_TOKEN)
            if installation.suspended_at is not None:
                raise suspended()
            if any(not installation.includes(slug) for slug in repositories or ()):
                raise unknown_repository()
            asked = installation.permissions if permissions is None else permissions
            if any(not covers(installation.permissions, name, level) for name, level in asked.items()):
                message = "The permissions requested are not granted to this installation."
                raise Refused(422, message, operation=_CREATE_TOKEN)
            # GitHub's times have no fraction.
            expires_at = (self.now() + timedelta(seconds=self.token_seconds)).replace(microsecond=0)
            made = InstallationToken(
                app=app,
                installation=installation,
                permissions={**asked, "metadata": "read"},
                repositories=tuple(repositories or ()),
                repository_ids=None if repositories is None else frozenset(repositories.values()),
                expires_at=expires_at,
                ends_at=expires_at + timedelta(seconds=self.grace_seconds),
            )
            value = self._value(app)
            self._tokens[value] = made
            return value, made

    def token(self, value: str) -> InstallationToken | None:
        """The token, if it is valid now."""
        found = self._tokens.get(value)
        return None if found is None or found.revoked or found.ends_at <= self.now() else found

    def revoke(self, value: str) -> None:
        """End a token."""
        self._tokens[value].revoked = True

    def end_tokens(self) -> None:
        """Let every token expire now."""
        with self._lock:
            now = self.now()
            for token in self._tokens.values():
                token.expires_at = token.ends_at = min(token.expires_at, now)

    def issued(self) -> list[IssuedToken]:
        """The tokens that were given out, oldest first."""
        with self._lock:
            return [
                IssuedToken(token.repositories, dict(token.permissions), token.expires_at, token.revoked)
                for token in self._tokens.values()
            ]

    def values(self) -> list[str]:
        """The values of all tokens, for tests that search for them."""
        with self._lock:
            return list(self._tokens)

    def _by_issuer(self, issuer: object) -> RegisteredApp | None:
        return next((a for a in self._apps.values() if str(issuer) in (str(a.app_id), a.client_id)), None)

    def _value(self, app: RegisteredApp) -> str:
        if not self.long_tokens:
            return "ghs_" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(36))
        now = int(self.now().timestamp())
        life = {"iat": now, "exp": now + int(self.token_seconds) + 1}
        claims = {"iss": "github", "sub": f"app:{app.app_id}", "jti": secrets.token_hex(16), **life}
        parts = ({"alg": "RS256", "typ": "JWT"}, claims)
        signed = ".".join(_base64(json.dumps(part).encode()) for part in parts)
        return f"ghs_{app.app_id}_{signed}.{_base64(secrets.token_bytes(256))}"


def unknown_repository() -> Refused:
    """The error of a token for a repository that the installation does not include."""
    message = "There is at least one repository that does not exist or is not accessible to the parent installation."
    return Refused(422, message, operation=_CREATE_TOKEN)


def _not_a_jwt() -> Refused:
    return Refused(401, "A JSON web token could not be decoded")


def _claims(given: str) -> dict[str, Any]:
    """The claims of a JWT whose signature is not checked yet."""
    body = given.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except ValueError:
        raise _not_a_jwt() from None
    if not isinstance(claims, dict):
        raise _not_a_jwt()
    return claims


def _moment(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
