"""The shard's real login, and the dummy that the agent gets instead. Codex's `auth.json` as seen on 0.169.0.

The dummy has the account's claims, which Codex reads, and random values in place of everything else. Outside this
run's broker it is of no use: its tokens have no signature.
"""

import base64
import hmac
import json
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from moonmind_appliance.in_container.login_volume import LOGIN_FILE_LIMIT
from moonmind_appliance.in_container.shared import read_regular

# What Codex reads of the account. Every other claim stays with the broker.
_OPENAI = "https://api.openai.com/auth"
_PROFILE = "https://api.openai.com/profile"
_CLAIMS = {
    "email": None,
    _PROFILE: ("email",),
    _OPENAI: (
        "chatgpt_account_id",
        "chatgpt_plan_type",
        "chatgpt_user_id",
        "user_id",
        "chatgpt_account_is_fedramp",
    ),
}
_LONGEST_CLAIM = 256
_DAY = 24 * 3600
_DUMMY_DAYS = 400
_LATEST = 1 << 40


class NoLogin(Exception):
    """There is no login that the broker can use; the text says why, as a sentence."""


class Login(NamedTuple):
    """The real login. `expires` is when its access token ends, in seconds since 1970; None if unknown."""

    access_token: str
    account_id: str
    claims: dict[str, Any]
    expires: float | None


class LoginFile:
    """The login file in the volume, read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._login: Login | None = None

    def read(self) -> Login:
        """The login.

        Raises:
            NoLogin: it is missing, or not one of ChatGPT.
        """
        try:
            found = self._path.lstat()
        except OSError:
            raise NoLogin("The shard has no login.") from None
        seen = (found.st_ino, found.st_size, found.st_mtime_ns)
        if self._login is None or seen != self._seen:
            self._login, self._seen = parse_login(read_regular(self._path, LOGIN_FILE_LIMIT) or b""), seen
        return self._login


def parse_login(content: bytes) -> Login:
    """The login in a login file.

    Raises:
        NoLogin: it has none, or not one of ChatGPT.
    """
    stored = _object(content)
    tokens, key = stored.get("tokens"), stored.get("OPENAI_API_KEY")
    # As Codex decides: without a mode, an API key takes precedence.
    mode = stored.get("auth_mode") or ("chatgpt" if key is None else "apikey")
    if mode != "chatgpt" or not isinstance(tokens, dict):
        is_key = mode == "apikey" and isinstance(key, str)
        raise NoLogin("The shard's login is an API key." if is_key else "The shard's login file contains no login.")
    access, account = tokens.get("access_token"), tokens.get("account_id")
    claims = claims_of(tokens.get("id_token"))
    if account is None:
        account = (claims.get(_OPENAI) or {}).get("chatgpt_account_id")
    if not (_is_header_value(access) and _is_header_value(account)):
        raise NoLogin("The shard's login file contains no login.")
    return Login(access, account, claims, _time(claims_of(access, all_of_them=True).get("exp")))


def claims_of(token: object, *, all_of_them: bool = False) -> dict[str, Any]:
    """The claims of a JSON Web Token that the dummy has as well, or all; empty if it is not one."""
    try:
        part = str(token).split(".", 2)[1]
        found = _object(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        return {}
    if all_of_them:
        return found
    kept: dict[str, Any] = {}
    for name, inner in _CLAIMS.items():
        value = found.get(name)
        if inner is None and _is_plain(value):
            kept[name] = value
        elif inner is not None and isinstance(value, dict):
            kept[name] = {each: value[each] for each in inner if each in value and _is_plain(value[each])}
    return kept


class Dummy:
    """The login of this run's agent."""

    def __init__(self, real: Login) -> None:
        now = int(time.time())
        about = {**real.claims, "iat": now, "exp": now + _DUMMY_DAYS * _DAY, "iss": "https://auth.openai.com"}
        self.access_token = _unsigned({**about, "jti": secrets.token_hex(16), "aud": ["https://api.openai.com/v1"]})
        self.refresh_token = f"rt_{secrets.token_urlsafe(48)}"
        self._tokens = {
            "id_token": _unsigned({**about, "jti": secrets.token_hex(16)}),
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
        }
        self._file = {
            "auth_mode": "chatgpt",
            "OPENAI_API_KEY": None,
            "tokens": {**self._tokens, "account_id": real.account_id},
            "last_refresh": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def login_file(self) -> str:
        """The text of the agent's `auth.json`."""
        return json.dumps(self._file)

    def refreshed(self) -> bytes:
        """The answer to the agent's refresh: the same tokens, so that nothing has to be remembered."""
        return json.dumps(self._tokens).encode()

    @staticmethod
    def refused() -> bytes:
        """The answer to the agent's refresh if the real login is not valid any more: OpenAI's own."""
        message = "Your refresh token has been invalidated. Please try signing in again."
        return json.dumps({"error": {"message": message, "code": "refresh_token_invalidated"}}).encode()

    def is_bearer(self, value: bytes) -> bool:
        """Whether the value of an Authorization header is this run's. Takes the same time for each wrong value."""
        return hmac.compare_digest(value, f"Bearer {self.access_token}".encode())

    def is_refresh(self, body: bytes) -> bool:
        """Whether the body of a request for tokens is Codex's refresh with this run's token."""
        asked = _object(body)
        token = asked.get("refresh_token")
        return (
            asked.get("grant_type") == "refresh_token"
            and isinstance(token, str)
            and hmac.compare_digest(token.encode(errors="replace"), self.refresh_token.encode())
        )


def _unsigned(claims: dict[str, Any]) -> str:
    """A JSON Web Token whose signature is random."""
    parts = (
        json.dumps({"alg": "RS256", "kid": "broker", "typ": "JWT"}).encode(),
        json.dumps(claims).encode(),
        secrets.token_bytes(256),
    )
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _time(value: object) -> float | None:
    """The value as seconds since 1970; None if it is no such number."""
    return float(value) if isinstance(value, int) and 0 <= value < _LATEST else None


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool) or (isinstance(value, str) and len(value) <= _LONGEST_CLAIM)


def _is_header_value(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.isascii() and value.isprintable() and bool(value) and " " not in value
