"""Login from a terminal: OAuth's device grant (RFC 8628), and the refresh of its tokens."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Self

import httpx
import msgspec
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.client import OAuth2Client
from joserfc import jws
from joserfc.errors import JoseError

from moonmind_appliance.errors import LoginError
from moonmind_appliance.oidc.discovery import Discovery, ProviderProblem, discover, open_client, reason
from moonmind_appliance.oidc.token_file import SavedLogin, TokenFile
from moonmind_appliance.untrusted_json import decode

_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_LOG_IN = "Log in with `moonmind-appliance login`."

RENEW_BEFORE_SECONDS = 60
"""A token with less remaining lifetime (seconds) is renewed before it is used."""

SLOW_DOWN_SECONDS = 5
"""Seconds that RFC 8628 section 3.5 adds to the interval at each `slow_down`."""


class DeviceCode(msgspec.Struct, frozen=True, kw_only=True):
    """What to show to the user: open `verification_uri`, type `user_code`.

    `verification_uri_complete` contains both, for a QR code. `device_code` is a secret; `interval` and `expires_in` are
    seconds.
    """

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str = ""
    expires_in: int
    interval: int = 5

    def __repr__(self) -> str:
        return f"DeviceCode(user_code={self.user_code!r}, verification_uri={self.verification_uri!r})"


class _TokenAnswer(msgspec.Struct):
    """RFC 6749 section 5.1."""

    access_token: str
    expires_in: int
    refresh_token: str | None = None


class DeviceLogin:
    """Logs a user in at a realm, with a public client of the realm. Order of calls: `start`, then `wait`.

    Args:
        issuer: the realm's address.
        client_id: the public client (`OIDC_CLI_CLIENT_ID`).
        ca_file: PEM file of further certificate authorities.
        http: client for the requests, closed by the caller; None: one of its own.
        clock: seconds since the epoch.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        *,
        issuer: str,
        client_id: str,
        ca_file: Path | None = None,
        http: httpx.Client | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._clock = clock
        self._sleep = sleep
        self._own_http: httpx.Client | None = None
        if http is None:
            http = self._own_http = open_client(ca_file)
        self._http = http
        self._found: Discovery | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Idempotent."""
        if self._own_http is not None:
            self._own_http.close()

    def start(self) -> DeviceCode:
        """Request a code to show.

        Raises:
            LoginError: `identity_provider_unreachable`, or `login_refused` if the client may not use the grant.
        """
        endpoint = self._realm().device_authorization_endpoint
        if not endpoint:
            raise LoginError(
                f"{self._issuer} does not offer the device authorization grant.", code="login_refused", hint=_ASK_ADMIN
            )
        try:
            answer = self._http.post(endpoint, data={"client_id": self._client_id, "scope": "openid"})
        except httpx.HTTPError as error:
            self._unreachable(f"{self._issuer} does not respond ({reason(error)}).")
        if answer.status_code != httpx.codes.OK:
            error_text = _error_text(answer)
            raise LoginError(
                f"Keycloak issues no device code to the client {self._client_id}: {error_text}.",
                code="login_refused",
                hint=_ASK_ADMIN,
            )
        try:
            return decode(answer.content, DeviceCode)
        except msgspec.DecodeError as error:
            self._unreachable(f"The response of {self._issuer} cannot be read ({error}).")

    def wait(self, code: DeviceCode) -> SavedLogin:
        """Poll until the user has confirmed or declined the code, or it has expired.

        If Keycloak is unavailable for a moment, polling continues until the code has expired.

        Raises:
            LoginError: `login_denied`, `login_code_expired`, `login_refused`.
        """
        interval = max(code.interval, 1)
        ends = self._clock() + code.expires_in
        while self._clock() < ends:
            self._sleep(interval)
            try:
                return self._ask(grant_type=_DEVICE_GRANT, device_code=code.device_code)
            except OAuth2Error as error:
                if error.error == "slow_down":
                    interval += SLOW_DOWN_SECONDS
                elif error.error == "access_denied":
                    raise LoginError(
                        "The login was declined in the browser.", code="login_denied", hint=_LOG_IN
                    ) from None
                elif error.error == "expired_token":
                    break
                elif error.error != "authorization_pending":
                    raise self._refused(error) from None
            except (httpx.HTTPError, ValueError):
                interval += SLOW_DOWN_SECONDS
        raise LoginError("The code expired before it was confirmed.", code="login_code_expired", hint=_LOG_IN) from None

    def refresh(self, login: SavedLogin) -> SavedLogin:
        """A fresh access token for an old login.

        Raises:
            LoginError: `login_lapsed` if a new login is needed, `identity_provider_unreachable`.
        """
        if not login.refresh_token:
            raise _lapsed()
        try:
            return self._ask(grant_type="refresh_token", refresh_token=login.refresh_token)
        except OAuth2Error as error:
            # Expired, logged out, disabled or already used: all of them are `invalid_grant`.
            raise (_lapsed() if error.error == "invalid_grant" else self._refused(error)) from None
        except httpx.HTTPError as error:
            self._unreachable(f"{self._issuer} does not respond ({reason(error)}).")
        except ValueError as error:
            self._unreachable(f"The response of {self._issuer} cannot be read ({error}).")

    def _ask(self, **grant: str) -> SavedLogin:
        """Send one request to the token endpoint.

        Raises:
            OAuth2Error: Keycloak refused, with an error code of the grant.
            httpx.HTTPError: no answer, or a server error.
            ValueError: the response is not valid.
        """
        asked_at = self._clock()
        client = OAuth2Client(session=self._http, client_id=self._client_id)
        # A public client sends its id in the form; `httpx.Auth()` adds nothing.
        token = client.fetch_token(self._realm().token_endpoint, client_id=self._client_id, auth=httpx.Auth(), **grant)
        answer = msgspec.convert(dict(token), _TokenAnswer)
        return SavedLogin(
            issuer=self._issuer,
            client_id=self._client_id,
            username=_username(answer.access_token),
            access_token=answer.access_token,
            access_expires_at=asked_at + answer.expires_in,
            refresh_token=answer.refresh_token or grant.get("refresh_token"),
        )

    def _realm(self) -> Discovery:
        if self._found is None:
            try:
                self._found = discover(self._http, self._issuer)
            except ProviderProblem as problem:
                self._unreachable(str(problem))
        return self._found

    def _unreachable(self, message: str) -> NoReturn:
        raise LoginError(
            message, code="identity_provider_unreachable", hint="Check the address and the network."
        ) from None

    def _refused(self, error: OAuth2Error) -> LoginError:
        return LoginError(
            f"Keycloak rejects the client {self._client_id}: {error.description or error.error}.",
            code="login_refused",
            hint=_ASK_ADMIN,
        )


_ASK_ADMIN = "Ask the Keycloak administrator whether the client exists and may use the device authorization grant."


def current_access_token(
    file: TokenFile,
    *,
    ca_file: Path | None = None,
    http: httpx.Client | None = None,
    clock: Callable[[], float] = time.time,
) -> str:
    """The saved login's access token, renewed and saved again if it expires within a minute.

    Safe from several processes at once: one renews, the others use the token that it saved.

    Raises:
        LoginError: `not_logged_in`, `login_lapsed`, `identity_provider_unreachable`, `token_file_unusable`.
    """

    def good(login: SavedLogin | None) -> bool:
        return login is not None and login.access_expires_at - clock() > RENEW_BEFORE_SECONDS

    login = file.load()
    if login is not None and not good(login):
        with file.locked():
            login = file.load()
            if login is not None and not good(login):
                with DeviceLogin(
                    issuer=login.issuer, client_id=login.client_id, ca_file=ca_file, http=http, clock=clock
                ) as realm:
                    login = realm.refresh(login)
                file.save(login)
    if login is None:
        raise LoginError(f"Not logged in: {file.path} does not exist.", code="not_logged_in", hint=_LOG_IN)
    return login.access_token


def _lapsed() -> LoginError:
    return LoginError("The login has expired.", code="login_lapsed", hint=_LOG_IN)


def _error_text(answer: httpx.Response) -> str:
    """The message of an OAuth error (RFC 6749 section 5.2), or the status."""
    try:
        body: Any = decode(answer.content)
    except msgspec.DecodeError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("error"), str):
        return str(body.get("error_description") or body["error"])
    return f"status {answer.status_code}"


def _username(access_token: str) -> str:
    """The user name in Keycloak's token, or "". Not verified: it is only shown."""
    try:
        claims: Any = decode(jws.extract_compact(access_token.encode()).payload)
    except (JoseError, ValueError):
        return ""
    name = claims.get("preferred_username") if isinstance(claims, dict) else None
    return name if isinstance(name, str) else ""
