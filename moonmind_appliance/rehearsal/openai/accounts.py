"""The ChatGPT accounts of the stand-in, and the tokens that it issued.

Claims, single use of refresh tokens and the error codes are as Codex CLI 0.169.0 uses and expects them.
"""

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

ISSUER = "https://auth.openai.com"
CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"


class Account(msgspec.Struct, frozen=True):
    """A ChatGPT account (workspace) and its one user."""

    email: str
    account_id: str
    user_id: str
    plan_type: str = "plus"


def sample_accounts(count: int) -> tuple[Account, ...]:
    """That many accounts, always the same ones."""
    return tuple(
        Account(
            email=f"codex-{number}@rehearsal.example",
            account_id=f"00000000-0000-4000-8000-{number:012d}",
            user_id=f"user-Rehearsal{number}",
        )
        for number in range(count)
    )


class Tokens(msgspec.Struct, frozen=True):
    """The answer of the token endpoint."""

    id_token: str
    access_token: str
    refresh_token: str


class RefusalCode(StrEnum):
    """Why a token was refused, with OpenAI's codes."""

    REFRESH_EXPIRED = "refresh_token_expired"
    REFRESH_REUSED = "refresh_token_reused"
    REFRESH_INVALIDATED = "refresh_token_invalidated"
    ACCESS_EXPIRED = "token_expired"
    ACCESS_INVALIDATED = "token_invalidated"


_MESSAGES = {
    RefusalCode.REFRESH_EXPIRED: "Your refresh token has expired. Please try signing in again.",
    RefusalCode.REFRESH_REUSED: (
        "Your refresh token has already been used to generate a new access token. Please try signing in again."
    ),
    RefusalCode.REFRESH_INVALIDATED: "Your refresh token has been invalidated. Please try signing in again.",
    RefusalCode.ACCESS_EXPIRED: "Provided authentication token is expired. Please try signing in again.",
    RefusalCode.ACCESS_INVALIDATED: "Your authentication token has been invalidated. Please try signing in again.",
}


class TokenRefused(Exception):
    """A token is not valid (any more)."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code.value)
        self.code = code
        self.message = _MESSAGES[code]


class _Grant:
    """An issued access or refresh token. `ended` is the reason why it is not valid any more."""

    def __init__(self, account: Account, session: str, expires: float) -> None:
        self.account = account
        self.session = session
        self.expires = expires
        self.ended: RefusalCode | None = None


class Accounts:
    """All accounts, with their tokens. Safe to use from any thread.

    `access_seconds` and `refresh_seconds` are the lifetimes of tokens issued from now on.
    """

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = tuple(accounts)
        self._lock = threading.Lock()
        self._access: dict[str, _Grant] = {}
        self._refresh: dict[str, _Grant] = {}
        self._withdrawals = (
            (self._access, RefusalCode.ACCESS_INVALIDATED),
            (self._refresh, RefusalCode.REFRESH_INVALIDATED),
        )
        self._sign_ins = 0
        self.access_seconds = 10 * 24 * 3600.0
        self.refresh_seconds = 90 * 24 * 3600.0

    def __getitem__(self, index: int) -> Account:
        return self._accounts[index]

    def __iter__(self) -> Iterator[Account]:
        return iter(self._accounts)

    def __len__(self) -> int:
        return len(self._accounts)

    def next_to_sign_in(self) -> Account:
        """The account for a sign-in without a chosen account: one after the other."""
        with self._lock:
            account = self._accounts[self._sign_ins % len(self._accounts)]
            self._sign_ins += 1
            return account

    def sign_in(self, account: Account) -> Tokens:
        """Issue new tokens; older ones stay valid."""
        with self._lock:
            return self._issue(account, session=secrets.token_hex(16))

    def refresh(self, refresh_token: str) -> Tokens:
        """Exchange a refresh token, once.

        Raises:
            TokenRefused: it is unknown, already used, expired or revoked.
        """
        with self._lock:
            grant = self._refresh.get(refresh_token)
            if grant is None:
                raise TokenRefused(RefusalCode.REFRESH_INVALIDATED)
            if grant.ended:
                raise TokenRefused(grant.ended)
            if grant.expires <= time.time():
                raise TokenRefused(RefusalCode.REFRESH_EXPIRED)
            grant.ended = RefusalCode.REFRESH_REUSED
            return self._issue(grant.account, grant.session)

    def account_of(self, access_token: str) -> Account:
        """The account of that access token.

        Raises:
            TokenRefused: it is unknown, expired or revoked.
        """
        with self._lock:
            grant = self._access.get(access_token)
            if grant is None:
                raise TokenRefused(RefusalCode.ACCESS_INVALIDATED)
            if grant.ended:
                raise TokenRefused(grant.ended)
            if grant.expires <= time.time():
                raise TokenRefused(RefusalCode.ACCESS_EXPIRED)
            return grant.account

    def expire_access(self, account: Account) -> None:
        """Treat the account's access tokens as expired from now on, whatever their `exp` is."""
        self._end(self._access, account, RefusalCode.ACCESS_EXPIRED)

    def sign_out(self, account: Account, reason: RefusalCode = RefusalCode.REFRESH_INVALIDATED) -> None:
        """Revoke all tokens of the account; its refresh tokens are refused with the given reason."""
        self._end(self._access, account, RefusalCode.ACCESS_INVALIDATED)
        self._end(self._refresh, account, reason)

    def revoke(self, token: str) -> None:
        """Revoke the sign-in that one refresh or access token belongs to; an unknown token is not an error."""
        with self._lock:
            grant = self._refresh.get(token) or self._access.get(token)
            if grant is None:
                return
            for grants, code in self._withdrawals:
                for other in grants.values():
                    if other.session == grant.session and other.ended is None:
                        other.ended = code

    def _end(self, grants: dict[str, _Grant], account: Account, code: RefusalCode) -> None:
        with self._lock:
            for grant in grants.values():
                if grant.account == account:
                    grant.ended = code

    def _issue(self, account: Account, session: str) -> Tokens:
        now = time.time()
        access_expires, refresh_expires = now + self.access_seconds, now + self.refresh_seconds
        about = {
            "iss": ISSUER,
            "sub": f"auth0|{account.user_id}",
            "iat": int(now),
            "email": account.email,
            "email_verified": True,
            "https://api.openai.com/auth": {
                "chatgpt_account_id": account.account_id,
                "chatgpt_plan_type": account.plan_type,
                "chatgpt_user_id": account.user_id,
                "user_id": account.user_id,
            },
            "https://api.openai.com/profile": {"email": account.email, "email_verified": True},
        }
        tokens = Tokens(
            id_token=_jwt({**about, "aud": [CLIENT_ID], "exp": int(now) + 3600}),
            access_token=_jwt(
                {
                    **about,
                    "aud": ["https://api.openai.com/v1"],
                    "client_id": CLIENT_ID,
                    "scp": ["openid", "profile", "email", "offline_access"],
                    "exp": int(access_expires),
                }
            ),
            refresh_token=f"rt_{secrets.token_urlsafe(48)}",
        )
        self._access[tokens.access_token] = _Grant(account, session, access_expires)
        self._refresh[tokens.refresh_token] = _Grant(account, session, refresh_expires)
        return tokens


def _jwt(claims: dict[str, object]) -> str:
    """Three parts as in a JWT; the signature is random, as no client verifies it."""
    parts = (
        json.dumps({"alg": "RS256", "kid": "rehearsal", "typ": "JWT"}).encode(),
        json.dumps({**claims, "jti": secrets.token_hex(16)}).encode(),
        secrets.token_bytes(256),
    )
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
