"""auth.openai.com: the device login, the sign-in in a browser, and the token endpoint.

Requests and answers are as Codex CLI 0.169.0 sends and needs them; the code of a pending login
(`deviceauth_authorization_pending`) is the one that public clients of the original report.
"""

import base64
import hashlib
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody

from moonmind_appliance.rehearsal.openai.accounts import (
    CLIENT_ID,
    ISSUER,
    Account,
    Accounts,
    RefusalCode,
    TokenRefused,
    Tokens,
)

_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ0123456789"
_CODE_SECONDS = 15 * 60
_REDIRECT = f"{ISSUER}/deviceauth/callback"
# Redirect target of the sign-in in a browser, on the user's own machine.
_CALLBACK = re.compile(r"http://(?:localhost|127\.0\.0\.1):1455/auth/callback")


class LoginState(StrEnum):
    """The state of a device login."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"


class _DeviceLogin:
    def __init__(self) -> None:
        self.device_auth_id = f"deviceauth_{secrets.token_hex(16)}"
        self.user_code = "-".join(_letters(size) for size in (4, 5))
        self.verifier = secrets.token_urlsafe(48)
        self.challenge = _challenge(self.verifier)
        self.authorization_code = f"ac_{secrets.token_urlsafe(32)}"
        self.started = time.monotonic()
        self.polls = 0
        self.state = LoginState.PENDING
        self.account: Account | None = None


class DeviceLogins:
    """The device logins under way. Safe to use from any thread.

    A login is approved automatically after `approve_after_polls` polls or `approve_after_seconds`, whichever comes
    first; None: never.
    `interval` is the number of seconds between polls in the answer to the client.
    """

    def __init__(
        self,
        accounts: Accounts,
        *,
        approve_after_polls: int | None,
        approve_after_seconds: float | None,
        interval: int,
    ) -> None:
        self._accounts = accounts
        self._approve_after_polls = approve_after_polls
        self._approve_after_seconds = approve_after_seconds
        self._lock = threading.Lock()
        self._logins: list[_DeviceLogin] = []
        self.interval = interval

    @property
    def pending_codes(self) -> list[str]:
        """User codes of pending logins."""
        with self._lock:
            return [login.user_code for login in self._logins if login.state is LoginState.PENDING]

    @contextmanager
    def manual_approval(self) -> Iterator[None]:
        """In the `with` block no login is approved automatically."""
        before = self._approve_after_polls, self._approve_after_seconds
        self._approve_after_polls = self._approve_after_seconds = None
        try:
            yield
        finally:
            self._approve_after_polls, self._approve_after_seconds = before

    def begin(self) -> tuple[str, str]:
        """Start a new login: its id and the code that the user types."""
        login = _DeviceLogin()
        with self._lock:
            self._logins.append(login)
        return login.device_auth_id, login.user_code

    def decide(self, user_code: str, state: LoginState, account: Account | None = None) -> None:
        """Record the user's decision in the browser.

        Raises:
            KeyError: no pending login has that code.
        """
        with self._lock:
            for login in self._logins:
                if login.user_code == user_code and login.state is LoginState.PENDING:
                    login.state = state
                    login.account = account
                    return
        raise KeyError(user_code)

    def authorize(self, challenge: str) -> str:
        """A sign-in in the browser that is approved at once: returns the code for the redirect."""
        login = _DeviceLogin()
        login.state, login.challenge = LoginState.APPROVED, challenge
        with self._lock:
            self._logins.append(login)
        return login.authorization_code

    def poll(self, device_auth_id: str, user_code: str) -> tuple[LoginState | None, dict[str, str]]:
        """The login's state (None: no such login) and, after approval, what the client needs to get its tokens."""
        with self._lock:
            login = next((one for one in self._logins if one.device_auth_id == device_auth_id), None)
            if login is None or login.user_code != user_code:
                return None, {}
            waited = time.monotonic() - login.started
            if waited > _CODE_SECONDS:
                return None, {}
            if login.state is LoginState.PENDING and self._is_due(login, waited):
                login.state = LoginState.APPROVED
            login.polls += 1
            if login.state is not LoginState.APPROVED:
                return login.state, {}
            return login.state, {
                "authorization_code": login.authorization_code,
                "code_challenge": login.challenge,
                "code_verifier": login.verifier,
            }

    def redeem(self, authorization_code: str, verifier: str) -> Tokens | None:
        """The tokens for an approved login, once; None if code or verifier is wrong or used."""
        with self._lock:
            for login in self._logins:
                if (
                    login.state is LoginState.APPROVED
                    and login.authorization_code == authorization_code
                    and login.challenge == _challenge(verifier)
                ):
                    login.state = LoginState.USED
                    return self._accounts.sign_in(login.account or self._accounts.next_to_sign_in())
        return None

    def _is_due(self, login: _DeviceLogin, waited: float) -> bool:
        by_polls = self._approve_after_polls is not None and login.polls >= self._approve_after_polls
        by_time = self._approve_after_seconds is not None and waited >= self._approve_after_seconds
        return by_polls or by_time


class UserCodeRequest(msgspec.Struct):
    """Body of step 1."""

    client_id: str


class PollRequest(msgspec.Struct):
    """Body of step 2."""

    device_auth_id: str
    user_code: str


class RefreshRequest(msgspec.Struct):
    """JSON body of the token endpoint."""

    client_id: str
    grant_type: str
    refresh_token: str


class RevokeRequest(msgspec.Struct):
    """JSON body of the revocation endpoint."""

    token: str
    client_id: str
    token_type_hint: str | None = None


def login_routes(logins: DeviceLogins, accounts: Accounts) -> list[BaseRouteHandler]:
    """The handlers of auth.openai.com."""

    @post("/api/accounts/deviceauth/usercode", status_code=200)
    async def user_code(data: JSONBody[UserCodeRequest]) -> Response[Any]:
        if data.client_id != CLIENT_ID:
            return _refused(400, "invalid_client", "Unknown client.")
        device_auth_id, code = logins.begin()
        return Response(
            # The interval is a string in the original; Codex aborts on a number.
            {"device_auth_id": device_auth_id, "user_code": code, "interval": str(logins.interval)}
        )

    @post("/api/accounts/deviceauth/token", status_code=200)
    async def device_token(data: JSONBody[PollRequest]) -> Response[Any]:
        state, grant = logins.poll(data.device_auth_id, data.user_code)
        if state is LoginState.APPROVED:
            return Response(grant)
        if state is LoginState.PENDING:
            return _refused(403, "deviceauth_authorization_pending", "The login has not been approved yet.")
        if state is LoginState.DENIED:
            return _refused(400, "deviceauth_authorization_denied", "The login was declined.")
        return _refused(400, "deviceauth_invalid", "This device code is unknown, used or expired.")

    @post("/oauth/token", status_code=200)
    async def token(request: Request[Any, Any, Any]) -> Response[Any]:
        body = await request.body()
        content_type = request.headers.get("content-type", "").partition(";")[0].strip()
        if content_type == "application/x-www-form-urlencoded":
            return _exchange_code(logins, body)
        if content_type == "application/json":
            return _refresh(accounts, body)
        return _refused(400, "invalid_request", "Send a form or JSON.")

    @post("/oauth/revoke", status_code=200)
    async def revoke(data: JSONBody[RevokeRequest]) -> Response[Any]:
        accounts.revoke(data.token)
        return Response({})

    @get("/codex/device", media_type=MediaType.TEXT)
    async def device_page() -> str:
        return "This is a rehearsal: the login is approved automatically, not on this page.\n"

    return [user_code, device_token, _sign_in_page(logins), token, revoke, device_page]


def _sign_in_page(logins: DeviceLogins) -> BaseRouteHandler:
    @get("/oauth/authorize", status_code=302)
    async def authorize(request: Request[Any, Any, Any]) -> Response[Any]:
        return _send_back(logins, dict(request.query_params))

    return authorize


def _send_back(logins: DeviceLogins, asked: dict[str, str]) -> Response[Any]:
    """The sign-in page, which approves at once."""
    back = asked.get("redirect_uri", "")
    wanted = {"client_id": CLIENT_ID, "response_type": "code", "code_challenge_method": "S256"}
    if any(asked.get(name) != value for name, value in wanted.items()) or not _CALLBACK.fullmatch(back):
        return _refused(400, "invalid_request", "This is not a sign-in request from Codex.")
    answer = {"code": logins.authorize(asked.get("code_challenge", "")), "state": asked.get("state", "")}
    return Response(b"", status_code=302, headers={"location": f"{back}?{urlencode(answer)}"})


def _exchange_code(logins: DeviceLogins, body: bytes) -> Response[Any]:
    form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    wanted = {"grant_type": "authorization_code", "client_id": CLIENT_ID}
    for name, value in wanted.items():
        if form.get(name) != value:
            return _refused(400, "invalid_request", f"{name} must be {value}.")
    if form.get("redirect_uri") != _REDIRECT and not _CALLBACK.fullmatch(form.get("redirect_uri", "")):
        return _refused(400, "invalid_request", f"redirect_uri must be {_REDIRECT}.")
    tokens = logins.redeem(form.get("code", ""), form.get("code_verifier", ""))
    if tokens is None:
        return _refused(400, "invalid_grant", "The code or its verifier is wrong, used or expired.")
    return Response(tokens)


def _refresh(accounts: Accounts, body: bytes) -> Response[Any]:
    try:
        asked = msgspec.json.decode(body, type=RefreshRequest)
    except msgspec.DecodeError as error:
        return _refused(400, "invalid_request", str(error))
    if asked.grant_type != "refresh_token" or asked.client_id != CLIENT_ID:
        return _refused(400, "invalid_request", "grant_type or client_id is wrong.")
    try:
        return Response(accounts.refresh(asked.refresh_token))
    except TokenRefused as refusal:
        return _refused(401, refusal.code, refusal.message)


def _refused(status: int, code: str | RefusalCode, message: str) -> Response[Any]:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": str(code)}
    return Response({"error": error}, status_code=status)


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _letters(size: int) -> str:
    return "".join(secrets.choice(_CODE_LETTERS) for _ in range(size))
