"""A GitHub App: its requests to GitHub, and the installation tokens of one repository.

The rules are GitHub's: docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app, "Generating a JSON
Web Token (JWT) for a GitHub App" and "Generating an installation access token for a GitHub App";
docs.github.com/rest/apps/apps and docs.github.com/rest/apps/installations. An installation token is valid for one hour,
for at most the installation's repositories and permissions, and can revoke itself.
"""

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx
import msgspec

from moonmind_appliance.errors import AppProblem, GitHubAppError, GitHubError
from moonmind_appliance.github.app_key import AppKey
from moonmind_appliance.github.connection import DEFAULT_PAUSES, DIRECT, Connection, RateLimit
from moonmind_appliance.github.proxy import Route, route_of
from moonmind_appliance.github.rest import DEFAULT_TIMEOUT, GitHub, repository_path
from moonmind_appliance.github.tokens import LEFT_AT_USE, FixedToken, check_characters
from moonmind_appliance.settings import Secret, Settings
from moonmind_appliance.untrusted_json import decode

NEEDED = {"contents": "write", "pull_requests": "write"}
"""The permissions of every token. GitHub adds `metadata: read`."""

_LEVELS = ("read", "write", "admin")
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _UNPROCESSABLE = 401, 403, 404, 422
_FIRST_ERROR = 400
_RENAMED = re.compile(r"/repositories/(\d+)/installation$")
# A stop of the appliance must not wait long for a revocation: the token expires by itself.
_REVOKE_TIMEOUT, _REVOKE_PAUSES = 3.0, (0.5,)
_LONGEST_LIFE = timedelta(hours=1)
# GitHub's servers may not know a new token at once: octokit waits this long (octokit/auth-app.js, pull request 85).
_SETTLING, _NEW = (1.0, 2.0, 4.0), timedelta(seconds=5)
# A larger difference between the clocks is reported; below it, the response's own age may be the reason.
_SMALL_SKEW = timedelta(seconds=30)

_log = logging.getLogger(__name__)


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """Where an App is installed, and what it may do there. `repository_selection` is `all` or `selected`."""

    id: int
    permissions: dict[str, str]
    repository_selection: str
    html_url: str = ""
    suspended_at: str | None = None

    def missing(self) -> dict[str, str]:
        """The needed permissions that it does not have."""
        return {name: level for name, level in NEEDED.items() if not _covers(self.permissions.get(name), level)}

    def beyond(self) -> dict[str, str]:
        """The permissions that it has and that runs do not need."""
        needed = NEEDED | {"metadata": "read"}
        return {
            name: level
            for name, level in sorted(self.permissions.items())
            if name not in needed or not _covers(needed[name], level)
        }


class RegisteredApp(msgspec.Struct, frozen=True, kw_only=True):
    """The App itself, as GitHub knows it."""

    id: int
    name: str
    slug: str = ""
    html_url: str = ""
    installations_count: int | None = None


class _Token(msgspec.Struct):
    token: str
    expires_at: datetime
    permissions: dict[str, str] = {}


class _Taken(msgspec.Struct):
    """A token, and why it was requested. `revoked` is None until its end is known."""

    secret: Secret
    taken_at: datetime
    expires_at: datetime
    why: str
    revoked: bool | None = None
    rejected: bool = False
    is_over: bool = False


class KnownTokens(Protocol):
    """Gets each token before it is used: the redactor."""

    def learn(self, source: str, secrets: Mapping[str, str], *, signed_in: bool = False) -> None:
        """Search for these values from now on."""

    def forget(self, source: str) -> None:
        """The values of that source are no longer secret."""


class _Forgotten:
    """A `KnownTokens` for a process that writes nothing."""

    def learn(self, source: str, secrets: Mapping[str, str], *, signed_in: bool = False) -> None:
        pass

    def forget(self, source: str) -> None:
        pass


class GitHubApp:
    """Makes an App's own requests, and clients for single repositories. Safe to use from several threads.

    Nothing is requested, and the key is not read, before the first call.

    Args:
        app_id: the App's id, or its client id.
        key: its private key, PEM.
        api_url: the URL of the REST API.
        timeout: seconds for each connect, read and write.
        ca_file: PEM file of further certificate authorities.
        pauses: see `Connection`.
        transport: see `Connection`.
        route: see `Connection`.
        clock: the current time, in UTC.
        known: gets each token, and each JWT, before it is used.
        settling: seconds before each repetition of a call with a new token that GitHub does not know yet.
    """

    def __init__(
        self,
        *,
        app_id: str,
        key: Secret,
        api_url: str,
        timeout: float = DEFAULT_TIMEOUT,
        ca_file: Path | None = None,
        pauses: Sequence[float] = DEFAULT_PAUSES,
        transport: httpx.BaseTransport | None = None,
        route: Route = DIRECT,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        known: KnownTokens | None = None,
        settling: Sequence[float] = _SETTLING,
    ) -> None:
        self.app_id = app_id
        self.settling = tuple(settling)
        self._api_url = api_url
        self.clock = clock
        self._known: KnownTokens = known or _Forgotten()
        self._lock = threading.Lock()
        self._limits: dict[str, RateLimit] = {}
        self._sources = 0
        self._ended: list[tuple[datetime, str]] = []
        self._key = AppKey(app_id, key, clock, lambda jwt: self.know("GitHub App", "JWT", jwt))
        self.connection = Connection(
            api_url=api_url,
            token=self._key,
            timeout=timeout,
            ca_file=ca_file,
            pauses=pauses,
            transport=transport,
            route=route,
            clock=clock,
        )

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        pauses: Sequence[float] = DEFAULT_PAUSES,
        transport: httpx.BaseTransport | None = None,
        known: KnownTokens | None = None,
    ) -> "GitHubApp | None":
        """The App that the settings name; None if they name none.

        Raises:
            SettingsError: a CA file cannot be used.
            OSError: a CA file cannot be read.
        """
        if settings.github_app_id is None or settings.github_app_private_key is None:
            return None
        return cls(
            app_id=settings.github_app_id,
            key=settings.github_app_private_key,
            api_url=settings.github_api_url,
            timeout=timeout,
            ca_file=settings.extra_ca_certs,
            pauses=pauses,
            transport=transport,
            route=route_of(settings.github_api_url, settings),
            known=known,
        )

    def check_key(self) -> None:
        """Read the key.

        Raises:
            SettingsError: it is not an RSA private key.
        """
        self._key.current()

    def registered(self) -> RegisteredApp:
        """The App as GitHub knows it.

        Raises:
            GitHubError: GitHub does not accept the App's key, or does not answer.
        """
        with self._explained("", self._app_problem):
            return self.connection.ask("GET", "/app", answer=RegisteredApp)

    def installation(self, slug: str) -> Installation:
        """The installation of the App on this repository.

        Raises:
            GitHubAppError: there is none that a run can use.
            GitHubError: GitHub does not answer.
        """
        return self._find(slug)[0]

    def client(self, slug: str) -> GitHub:
        """A client for one repository, with tokens for that repository only. Call its `end` when it is not needed."""
        with self._lock:
            # GitHub counts the requests of an installation together; an account has one.
            limit = self._limits.setdefault(slug.partition("/")[0].lower(), RateLimit())
        return GitHub.on(self.connection.with_tokens(InstallationTokens(self, slug), limit=limit))

    def new_source(self) -> str:
        """A name for the known tokens of one client, so that they do not replace another client's."""
        with self._lock:
            self._sources += 1
            return f"GitHub App {self._sources}"

    def know(self, source: str, kind: str, value: str) -> None:
        """Make a secret known before its first use."""
        self._known.learn(source, {kind: value}, signed_in=True)

    def ended(self, source: str) -> None:
        """The tokens of that source are no longer used. They stay known until none of them can be valid."""
        with self._lock:
            now = self.clock()
            over = [name for at, name in self._ended if now - at > _LONGEST_LIFE]
            self._ended = [*((at, name) for at, name in self._ended if name not in over), (now, source)]
        for name in over:
            self._known.forget(name)

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self.connection.close()

    def _find(self, slug: str) -> tuple[Installation, int | None]:
        """The installation, and the repository's number if it was renamed."""
        with self._explained(slug, self._lookup_problem):
            response = self.connection.send("GET", f"{repository_path(slug)}/installation")
        found = self._decoded(response, Installation)
        if found.suspended_at is not None:
            raise self._suspended(slug)
        if missing := found.missing():
            raise self._not_permitted(slug, missing)
        renamed = _RENAMED.search(response.request.url.path)
        return found, int(renamed[1]) if renamed else None

    def take(self, slug: str) -> tuple[_Token, Installation]:
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
        with self._explained(slug, self._take_problem):
            response = self.connection.send("POST", path, body={**only, "permissions": NEEDED})
        made = self._decoded(response, _Token)
        check_characters(Secret(made.token))
        return made, installation

    def _decoded(self, response: httpx.Response, shape: type[Any]) -> Any:  # noqa: ANN401 - of that shape
        try:
            return decode(response.content, shape)
        except msgspec.DecodeError:
            raise self._wrong_address(f"its answer to {response.request.method} has another format") from None

    def _explained(self, slug: str, explain: Callable[[GitHubError, str], GitHubError]) -> "_Explained":
        return _Explained(lambda error: explain(error, slug))

    def _app_problem(self, error: GitHubError, slug: str) -> GitHubError:
        """The error of a request that the App made with its JWT, with its cause if that is known."""
        said = "; ".join(error.errors)
        if error.retry_at is not None or error.status is None:
            return error
        if error.status == _UNAUTHORIZED and re.search(r"claim \('(?:exp|iat)'\)|has expired", said):
            return self._clock_problem(error, said)
        if error.status == _UNAUTHORIZED:
            message = (
                f"GitHub does not accept the App {self.app_id} with its private key: {said or 'no reason given'}. "
                "GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY must belong to the same App, on the GitHub of GITHUB_API_URL."
            )
            return GitHubAppError(message, problem=AppProblem.REJECTED, errors=error.errors)
        if error.status == _FORBIDDEN and "suspended" in said:
            return self._suspended(slug, error.errors)
        if error.status < _FIRST_ERROR or (error.status == _NOT_FOUND and not error.errors):
            return self._wrong_address(f"it answered with status {error.status}")
        return error

    def _lookup_problem(self, error: GitHubError, slug: str) -> GitHubError:
        if error.status == _NOT_FOUND and error.errors:
            message = f"The GitHub App {self.app_id} is not installed on {slug}, or the repository does not exist."
            return GitHubAppError(message, problem=AppProblem.NOT_INSTALLED, errors=error.errors)
        return self._app_problem(error, slug)

    def _take_problem(self, error: GitHubError, slug: str) -> GitHubError:
        said = "; ".join(error.errors)
        if error.status == _UNPROCESSABLE and "permissions" in said:
            return self._not_permitted(slug, NEEDED, error.errors)
        if error.status in (_NOT_FOUND, _UNPROCESSABLE) and error.errors:
            # It was removed from the installation, or the installation was removed, a moment ago.
            return self._lookup_problem(GitHubError(error.message, status=_NOT_FOUND, errors=error.errors), slug)
        return self._app_problem(error, slug)

    def _clock_problem(self, error: GitHubError, said: str) -> GitHubError:
        difference = ""
        if error.server_time is not None and abs(skew := self.clock() - error.server_time) >= _SMALL_SKEW:
            side = "ahead of" if skew > timedelta() else "behind"
            difference = f" This machine's clock is {abs(round(skew.total_seconds()))} s {side} GitHub's."
        message = f"GitHub does not accept the times in the App's JWT: {said}.{difference}"
        return GitHubAppError(message, problem=AppProblem.CLOCK, errors=error.errors)

    def _suspended(self, slug: str, errors: Sequence[str] = ()) -> GitHubAppError:
        message = f"The installation of the GitHub App {self.app_id} on the account of {slug} is suspended."
        return GitHubAppError(message, problem=AppProblem.SUSPENDED, errors=errors)

    def _not_permitted(self, slug: str, missing: Mapping[str, str], errors: Sequence[str] = ()) -> GitHubAppError:
        names = ", ".join(f"{name}: {level}" for name, level in missing.items())
        message = f"The installation of the GitHub App {self.app_id} on {slug} does not have the permissions {names}."
        return GitHubAppError(message, problem=AppProblem.PERMISSION, errors=errors)

    def _wrong_address(self, why: str) -> GitHubAppError:
        message = f"{self._api_url} is not the address of GitHub's REST API: {why}."
        return GitHubAppError(message, problem=AppProblem.ADDRESS)


class _Explained:
    """A `with` block in which a GitHubError is replaced by what `explain` makes of it."""

    def __init__(self, explain: Callable[[GitHubError], GitHubError]) -> None:
        self._explain = explain

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, GitHubError) and (better := self._explain(error)) is not error:
            raise better from None


class InstallationTokens:
    """A `TokenSource`: an App's tokens for one repository. Requested at the first use, renewed before they expire."""

    may_push = takes_tokens = True

    def __init__(self, app: GitHubApp, slug: str) -> None:
        self._app = app
        self._slug = slug
        self._lock = threading.Lock()
        self._taken: list[_Taken] = []
        self._permissions: dict[str, str] = {}
        self._installation: int | None = None
        self._ended = False
        self._name = app.new_source()

    def current(self, valid_for: float = LEFT_AT_USE) -> Secret:
        """See `TokenSource`. A token is not renewed in the first half of its lifetime."""
        with self._lock:
            if not self._taken:
                return self._take("first use")
            newest, now = self._taken[-1], self._app.clock()
            margin = min(timedelta(seconds=valid_for), (newest.expires_at - newest.taken_at) / 2)
            if now + margin < newest.expires_at and not self._ended:
                return newest.secret
            return self._take("it expires soon" if now < newest.expires_at else "it had expired")

    def settling(self, token: Secret) -> Sequence[float]:
        """See `TokenSource`."""
        with self._lock:
            taken = next((each for each in self._taken if each.secret == token), None)
            is_new = taken is not None and self._app.clock() - taken.taken_at < _NEW
            return self._app.settling if is_new else ()

    def replace(self, rejected: Secret) -> Secret | None:
        """See `TokenSource`. Another thread may have renewed it already."""
        with self._lock:
            if self._ended or not self._taken:
                return None
            if self._taken[-1].secret != rejected:
                return self._taken[-1].secret
            self._taken[-1].rejected = True
            return self._take("GitHub rejected it")

    def end(self) -> None:
        """See `TokenSource`."""
        with self._lock:
            first, self._ended = not self._ended, True
            for taken in self._taken:
                if taken.revoked is None:
                    self._revoke(taken)
        if first and self._taken:
            self._app.ended(self._name)

    def report(self) -> dict[str, Any]:
        """See `TokenSource`. Times are UTC."""
        with self._lock:
            return {
                "credential": "GITHUB_APP_ID",
                "kind": "installation token of a GitHub App",
                "app_id": self._app.app_id,
                "installation_id": self._installation,
                "repositories": [self._slug],
                "permissions": self._permissions,
                "renewed": max(0, len(self._taken) - 1),
                "revoked": bool(self._taken) and all(taken.revoked for taken in self._taken),
                "tokens": [
                    {
                        "taken_at": f"{taken.taken_at:%Y-%m-%dT%H:%M:%S.%fZ}",
                        "why": taken.why,
                        "expires_at": f"{taken.expires_at:%Y-%m-%dT%H:%M:%SZ}",
                        "end": _ending(taken),
                    }
                    for taken in self._taken
                ],
            }

    def _take(self, why: str) -> Secret:
        if self._ended:
            raise GitHubError("The run's access to GitHub has ended.", status=None)
        made, installation = self._app.take(self._slug)
        self._app.know(self._name, "installation token", made.token)
        self._permissions, self._installation = made.permissions, installation.id
        secret = Secret(made.token)
        self._taken.append(_Taken(secret, self._app.clock(), made.expires_at.astimezone(UTC), why))
        return secret

    def _revoke(self, taken: _Taken) -> None:
        # A rejected token is revoked, too: the 401 may come from a server that did not know the token yet.
        if self._app.clock() >= taken.expires_at:
            taken.revoked = taken.is_over = True
            return
        connection = self._app.connection.with_tokens(
            FixedToken(taken.secret), pauses=_REVOKE_PAUSES, timeout=_REVOKE_TIMEOUT
        )
        try:
            connection.send("DELETE", "/installation/token")
        except (GitHubError, RuntimeError) as error:
            # httpx raises RuntimeError if `close` was called before.
            taken.revoked = taken.is_over = isinstance(error, GitHubError) and error.status == _UNAUTHORIZED
            if not taken.revoked:
                _log.warning(
                    "The installation token for %s could not be revoked. It expires by itself at %s UTC: %s",
                    self._slug,
                    f"{taken.expires_at:%H:%M}",
                    error,
                )
        else:
            taken.revoked = True


def _ending(taken: _Taken) -> str:
    if taken.revoked is None:
        return "rejected by GitHub" if taken.rejected else "in use"
    if not taken.revoked:
        return "not revoked: it expires by itself"
    return "over" if taken.is_over else "revoked"


def _covers(given: str | None, needed: str) -> bool:
    """Whether one level of a permission includes another."""
    return given in _LEVELS and _LEVELS.index(given) >= (_LEVELS.index(needed) if needed in _LEVELS else 0)
