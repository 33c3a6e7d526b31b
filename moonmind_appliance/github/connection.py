"""One HTTP exchange with GitHub: tokens, retries, redirects, rate limits, and errors with GitHub's own messages.

GitHub's rules: docs.github.com/rest, "Best practices for using the REST API" and "Rate limits for the REST API".
"""

import copy
import random
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import msgspec

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github.proxy import Route, refusal, route_of
from moonmind_appliance.github.tokens import FixedToken, TokenSource, call_with_token
from moonmind_appliance.retry_after import retry_time
from moonmind_appliance.settings import Secret, Settings
from moonmind_appliance.trust import trust_context
from moonmind_appliance.untrusted_json import decode
from moonmind_appliance.version import appliance_version

API_VERSION = "2022-11-28"
DEFAULT_TIMEOUT = 20.0
DEFAULT_PAUSES = (0.5, 1.0, 2.0)
DIRECT = Route()

_REDIRECTS = frozenset({301, 302, 307, 308})
_MOST_REDIRECTS = 3
_PASSING = frozenset({502, 503, 504})
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY = 401, 403, 429
_FIRST_ERROR = 400
_LONGEST_WORDS = 500
# The wait that GitHub's documentation asks for when a rate-limit response names no time.
_UNSAID_LIMIT = timedelta(seconds=60)
# A longer limit is tried again after this time: it may have been lifted.
_LONGEST_LIMIT = timedelta(hours=1)
# These fail before a byte of the request is sent: repeating them is safe for every method.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)

T = TypeVar("T")


def utc_now() -> datetime:
    """The machine's time, in UTC."""
    return datetime.now(UTC)


class RateLimit:
    """The error of the last rate limit, which several connections may share."""

    def __init__(self) -> None:
        self.error: GitHubError | None = None


class Connection:
    """Talks to one GitHub with the tokens of one source. Safe to use from several threads.

    If GitHub rejects a token (401) and the source has another one, the request is repeated once with that one.

    `timeout` is in seconds for each connect, read and write. `pauses` are the seconds before each repetition of a
    request that may be repeated, so their number is the number of repetitions. `transport` replaces the connections;
    `route` then only decides which cause an error names. The token goes to the origin of `api_url` only, whatever a
    redirect says.

    After a rate limit no request is sent until the time that GitHub named, at most an hour: GitHub may block callers
    that continue. Until then every request fails with the same error.
    """

    def __init__(
        self,
        *,
        api_url: str,
        token: Secret | TokenSource,
        timeout: float = DEFAULT_TIMEOUT,
        ca_file: Path | None = None,
        pauses: Sequence[float] = DEFAULT_PAUSES,
        transport: httpx.BaseTransport | None = None,
        route: Route = DIRECT,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.api_url = api_url
        self.clock = clock
        self.tokens = FixedToken(token) if isinstance(token, Secret) else token
        self.pauses = tuple(pauses)
        self._timeout = timeout
        self._shared = False
        self._sleep = sleep
        self._route = route
        self._limit = RateLimit()
        self._client = httpx.Client(
            base_url=api_url,
            headers={
                "Accept": "application/vnd.github+json",
                "User-Agent": f"moonmind-appliance/{appliance_version()}",
                "X-GitHub-Api-Version": API_VERSION,
            },
            timeout=timeout,
            verify=trust_context(ca_file),
            transport=transport,
            proxy=route.proxy.reveal() if route.proxy and transport is None else None,
            trust_env=route.from_environment,
        )

    @classmethod
    def of(
        cls,
        settings: Settings,
        token: Secret | TokenSource,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        pauses: Sequence[float] = DEFAULT_PAUSES,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> Self:
        """A connection to the GitHub of the settings, with their proxy and certificates.

        Raises:
            SettingsError: the token cannot be sent, or a CA file cannot be used.
            OSError: a CA file cannot be read.
        """
        return cls(
            api_url=settings.github_api_url,
            token=token,
            timeout=timeout,
            ca_file=settings.extra_ca_certs,
            pauses=pauses,
            transport=transport,
            route=route_of(settings.github_api_url, settings),
            clock=clock,
        )

    def with_tokens(
        self,
        tokens: TokenSource,
        *,
        limit: RateLimit | None = None,
        pauses: Sequence[float] | None = None,
        timeout: float | None = None,
    ) -> Self:
        """The same GitHub through the same connections, with tokens of another source.

        `limit`: the rate limit that it shares with others; None: its own. `close` of the result does nothing.
        """
        other = copy.copy(self)
        other._share(tokens, limit or RateLimit(), pauses, timeout)  # noqa: SLF001 - of this class
        return other

    def _share(
        self, tokens: TokenSource, limit: RateLimit, pauses: Sequence[float] | None, timeout: float | None
    ) -> None:
        self.tokens = tokens
        self._limit = limit
        self.pauses = self.pauses if pauses is None else tuple(pauses)
        self._timeout = self._timeout if timeout is None else timeout
        self._shared = True

    def close(self) -> None:
        """Close all connections. Idempotent."""
        if not self._shared:
            self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        answer: type[T],
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        repeatable: bool = True,
    ) -> T:
        """Send one request, `path` already quoted, and decode the response as `answer`.

        A request that is not repeatable is repeated only if it certainly did not reach GitHub.

        Raises:
            GitHubError: the response has another status or shape, or there is no response.
        """
        return decoded(self.send(method, path, query=query, body=body, repeatable=repeatable), answer)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        repeatable: bool = True,
    ) -> httpx.Response:
        """Like `ask`, but returns the response; its `request` is the last one, after redirects.

        Raises:
            GitHubError: the response has an error's status, or there is no response.
        """
        request = self._client.build_request(method, path, params=query, json=body, timeout=self._timeout)
        self._check_limit(request)
        response = call_with_token(
            self.tokens,
            lambda token: self._authorized(request, token, repeatable=repeatable),
            rejects=lambda response: response.status_code == _UNAUTHORIZED,
            is_unknown=_is_unknown,
            wait=self._sleep,
        )
        if response.status_code >= _FIRST_ERROR:
            raise self._refusal(request, response)
        return response

    def _authorized(self, request: httpx.Request, token: Secret, *, repeatable: bool) -> httpx.Response:
        request.headers["Authorization"] = f"Bearer {token.reveal()}"
        return self._exchange(request, repeatable=repeatable)

    def _check_limit(self, request: httpx.Request) -> None:
        """Raise the error of an earlier rate limit that still applies."""
        limit, now = self._limit.error, self.clock()
        if limit is None or limit.retry_at is None or not now < limit.retry_at <= now + _LONGEST_LIMIT:
            return
        raise GitHubError(
            f"{_name(request)} was not sent, because GitHub's rate limit is reached: {limit.message}",
            status=limit.status,
            errors=limit.errors,
            retry_at=limit.retry_at,
        )

    def _exchange(self, request: httpx.Request, *, repeatable: bool) -> httpx.Response:
        for pause in (*self.pauses, None):
            try:
                response = self._follow(request)
            except (httpx.TransportError, httpx.DecodingError) as error:
                if pause is None or not (repeatable or isinstance(error, _NOT_SENT)):
                    raise self._silence(request, error) from None
            else:
                if pause is None or not repeatable or response.status_code not in _PASSING:
                    return response
            # Add jitter, so that shards that failed together do not retry together.
            self._sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 - not used for a secret
        raise AssertionError("the last round returns or raises")

    def _follow(self, request: httpx.Request) -> httpx.Response:
        """Send, following redirects with method and body unchanged, as for a renamed repository."""
        target = request
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._client.send(target)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or location is None:
                return response
            url = target.url.join(location)
            if (url.scheme, url.host, url.port) != (request.url.scheme, request.url.host, request.url.port):
                raise GitHubError(
                    f"{_name(request)} was redirected to another server, {url.scheme}://{url.host}; "
                    "the token was not sent there.",
                    status=response.status_code,
                )
            target = self._client.build_request(target.method, url, content=target.content, timeout=self._timeout)
            for header in ("authorization", "content-type"):
                if header in request.headers:
                    target.headers[header] = request.headers[header]
        raise GitHubError(f"{_name(request)} was redirected too many times.", status=response.status_code)

    def _refusal(self, request: httpx.Request, response: httpx.Response) -> GitHubError:
        body = _body(response)
        messages = [_clean(message, request) for message in _messages(body)]
        reason = "; ".join(messages) or response.reason_phrase
        error = GitHubError(
            f"GitHub returned {response.status_code} for {_name(request)}: {reason}",
            status=response.status_code,
            errors=messages,
            retry_at=_retry_at(response, str(body.get("documentation_url", "")), self.clock()),
            sso_url=_sso_url(response.headers.get("x-github-sso", "")),
            permissions=_clean(response.headers.get("x-accepted-github-permissions", ""), request),
            server_time=_server_time(response),
        )
        if error.retry_at is not None and error.status in (_FORBIDDEN, _TOO_MANY):
            at = min(error.retry_at, self.clock() + _LONGEST_LIMIT)
            self._limit.error = GitHubError(error.message, status=error.status, errors=messages, retry_at=at)
        return error

    def _silence(self, request: httpx.Request, error: httpx.TransportError | httpx.DecodingError) -> GitHubError:
        why = _clean(str(error), request) or type(error).__name__
        origin = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
        if blamed := self._blame_proxy(error, why):
            return GitHubError(f"{blamed} {_name(request)} did not reach {origin}.", status=None, proxy=True)
        untrusted = _caused_by(error, ssl.SSLCertVerificationError)
        return GitHubError(f"No response from {origin} to {_name(request)}: {why}", status=None, untrusted=untrusted)

    def _blame_proxy(self, error: httpx.TransportError | httpx.DecodingError, why: str) -> str:
        """The sentence about the proxy, if it is the cause; else ""."""
        proxy = self._route.proxy
        name = f"The proxy {proxy.address}" if proxy else "The proxy of HTTPS_PROXY, HTTP_PROXY or ALL_PROXY"
        if isinstance(error, httpx.ProxyError):
            status = why.partition(" ")[0]
            return f"{name} {refusal(int(status)) if status.isdecimal() else f'failed: {why}'}."
        # A TLS handshake fails with GitHub, after the proxy has connected.
        is_tls = _caused_by(error, ssl.SSLError)
        if proxy and isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)) and not is_tls:
            return f"{name} does not respond ({why})."
        return ""


def decoded(response: httpx.Response, answer: type[T]) -> T:
    """The response's body as that type.

    Raises:
        GitHubError: it has another shape.
    """
    try:
        return decode(response.content, answer)
    except msgspec.DecodeError as error:
        raise GitHubError(
            f"The response to {_name(response.request)} is not a GitHub response: {error}.",
            status=response.status_code,
        ) from None


def _clean(text: str, request: httpx.Request) -> str:
    """The text without the request's token, and not too long."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    text = text.replace(token, "***") if token else text
    return text if len(text) <= _LONGEST_WORDS else f"{text[:_LONGEST_WORDS]}…"


def _server_time(response: httpx.Response) -> datetime | None:
    """The time of GitHub's clock, in UTC; None if the response does not have it."""
    try:
        return parsedate_to_datetime(response.headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return None


def _is_unknown(response: httpx.Response) -> bool:
    """Whether GitHub does not know the token or its permissions. Both can happen in a new token's first seconds.

    github.com/octokit/auth-app.js, issues 65 and 589.
    """
    if response.status_code == _FORBIDDEN:
        return b"Resource not accessible by integration" in response.content
    return response.status_code == _UNAUTHORIZED


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Whether an error of this kind is among the causes."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None


def _name(request: httpx.Request) -> str:
    return f"{request.method} {request.url.raw_path.decode('ascii').partition('?')[0]}"


def _body(response: httpx.Response) -> dict[str, Any]:
    """The error body; empty if it is not GitHub's (a proxy's HTML page)."""
    try:
        return decode(response.content, dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _messages(body: Mapping[str, Any]) -> list[str]:
    """GitHub's message, each of its `errors` (objects or plain sentences), and the notice of a blocked repository."""
    messages = [str(body["message"])] if body.get("message") else []
    block = body.get("block")
    if isinstance(block, dict):
        messages.append(" ".join(str(block[key]) for key in ("reason", "html_url") if block.get(key)))
    details = body.get("errors")
    for detail in details if isinstance(details, list) else [details] if details else []:
        if not isinstance(detail, dict):
            messages.append(str(detail))
        elif detail.get("message"):
            messages.append(str(detail["message"]))
        else:
            where = ".".join(str(detail[key]) for key in ("resource", "field") if detail.get(key))
            messages.append(f"{where}: {detail.get('code', 'invalid')}")
    return messages


def _sso_url(header: str) -> str | None:
    """The address in `X-GitHub-SSO: required; url=…`; None for other values, such as `partial-results; …`.

    docs.github.com/rest/authentication/authenticating-to-the-rest-api, "Personal access tokens and SAML SSO".
    """
    state, *parameters = (part.strip() for part in header.split(";"))
    if state != "required":
        return None
    return next((part.removeprefix("url=") for part in parameters if part.startswith("url=")), "")


def _retry_at(response: httpx.Response, documentation_url: str, now: datetime) -> datetime | None:
    """When GitHub asks for a retry; None if it does not ask to wait."""
    headers = response.headers
    if (after := retry_time(headers.get("retry-after"), now)) is not None:
        return after
    if response.status_code not in (_FORBIDDEN, _TOO_MANY):
        return None
    if headers.get("x-ratelimit-remaining") == "0":
        try:
            return datetime.fromtimestamp(int(headers["x-ratelimit-reset"]), UTC)
        except (KeyError, ValueError, OverflowError, OSError):
            return now + _UNSAID_LIMIT
    # The message varies; the documentation URL does not.
    limited = response.status_code == _TOO_MANY or "secondary-rate-limits" in documentation_url
    return now + _UNSAID_LIMIT if limited else None
