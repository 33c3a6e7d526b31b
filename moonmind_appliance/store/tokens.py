"""The bearer tokens of AUTH_PROVIDER=local; only their SHA-256 is stored."""

import hashlib
import hmac
import logging
import re
import secrets
import sqlite3
import time
from datetime import UTC, datetime, timedelta

import msgspec

from moonmind_appliance.errors import Conflict, InvalidRequest, NotFound, StoreError
from moonmind_appliance.models import Actor, Authenticated
from moonmind_appliance.store.connection import Database
from moonmind_appliance.store.events import record
from moonmind_appliance.store.redacting import Verbatim
from moonmind_appliance.store.rows import time_or_none, time_text

TOKEN_PREFIX = "mma_"  # noqa: S105 - the part that every token has

_TOKEN = re.compile(r"mma_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@ -]{0,99}")
# `last_used_at` is only displayed, so it does not justify a write per request.
_USE_NOTED_EVERY = timedelta(minutes=1)
# Seconds after a use that could not be saved.
_NOTE_AGAIN_AFTER = 60.0

_log = logging.getLogger(__name__)


class LocalToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token's metadata, without the token itself. Times are UTC."""

    name: str
    operator: bool
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class TokenStore:
    """Tokens that the operator created. A token has 256 random bits, so a plain hash is enough."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # On the monotonic clock.
        self._note_again_at = 0.0

    def create(self, name: str, *, operator: bool, expires_at: datetime | None, keep_runs: bool = False) -> str:
        """Create a token and return it; it cannot be shown again.

        If a revoked token had the name, the new one is for another caller, who does not see the earlier caller's runs;
        with `keep_runs` it is for the same caller.

        Raises:
            InvalidRequest: the name cannot be used.
            Conflict: a token of that name is not revoked.
        """
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"The token name {name!r} is not valid.",
                hint="Use at most 100 letters, digits, spaces, dots, dashes, underscores or @.",
            )
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        with self._database.write() as connection:
            taken = connection.execute("SELECT 1 FROM tokens WHERE name = ? AND revoked_at IS NULL", (name,)).fetchone()
            if taken:
                raise Conflict(
                    f"A token named {name} already exists.",
                    hint="Revoke it first, or choose another name.",
                    code="token_name_taken",
                )
            before = connection.execute(
                "SELECT subject FROM tokens WHERE name = ? ORDER BY token_id DESC LIMIT 1", (name,)
            ).fetchone()
            made = connection.execute(
                """
                INSERT INTO tokens (name, sha256, operator, created_at, expires_at) VALUES (?, ?, ?, ?, ?)
                RETURNING token_id
                """,
                (name, token_digest(token), operator, time_text(now), time_or_none(expires_at)),
            ).fetchone()
            subject = f"local:{name}"
            if before is not None:
                # Names cannot contain `#`.
                subject = before["subject"] if keep_runs else f"local:{name}#{made['token_id']}"
            connection.execute(
                "UPDATE tokens SET subject = ? WHERE token_id = ?", (Verbatim(subject), made["token_id"])
            )
            record(connection, "token.created", at=now, data={"name": name, "operator": operator})
        return token

    def list(self) -> list[LocalToken]:
        """All tokens, including revoked ones, oldest first. A row that cannot be read is omitted and logged."""
        with self._database.read() as connection:
            rows = connection.execute(
                """
                SELECT name, operator, created_at, expires_at, revoked_at, last_used_at
                FROM tokens ORDER BY token_id
                """
            )
            return [token for row in rows if (token := _readable(row)) is not None]

    def revoke(self, name: str) -> None:
        """Revoke a token; the next request with it is refused.

        Raises:
            NotFound: no token of that name is in use.
        """
        now = datetime.now(UTC)
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE tokens SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", (time_text(now), name)
            ).rowcount
            if not changed:
                raise NotFound(
                    f"There is no active token named {name}.",
                    hint="`moonmind-appliance token list` shows all active tokens.",
                )
            record(connection, "token.revoked", at=now, data={"name": name})

    def actor(self, token: str) -> Actor | None:
        """The caller that the token authenticates; None if it is unknown, expired or revoked."""
        found = self.authenticate(token)
        return None if found is None else found.actor

    def authenticate(self, token: str) -> Authenticated | None:
        """`actor`, with the time at which the token expires."""
        if not _TOKEN.fullmatch(token):
            return None
        digest = token_digest(token)
        now = datetime.now(UTC)
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM tokens WHERE sha256 = ?", (digest,)).fetchone()
        # An attacker could only time the comparison of a guess's hash, which reveals nothing about the token.
        if row is None or not hmac.compare_digest(bytes(row["sha256"]), digest):
            return None
        known = _readable(row)
        if known is None or known.revoked_at is not None or (known.expires_at is not None and known.expires_at <= now):
            return None
        self._note_use(row, now)
        until = None if known.expires_at is None else known.expires_at.timestamp()
        return Authenticated(Actor(row["subject"], row["name"], bool(row["operator"])), until)

    def _note_use(self, row: sqlite3.Row, now: datetime) -> None:
        if row["last_used_at"] and row["last_used_at"] > time_text(now - _USE_NOTED_EVERY):
            return
        if time.monotonic() < self._note_again_at:
            return
        try:
            # A caller who reads must not wait for another program's lock.
            with self._database.short_wait(), self._database.write() as connection:
                connection.execute(
                    "UPDATE tokens SET last_used_at = ? WHERE token_id = ?", (time_text(now), row["token_id"])
                )
        except StoreError as error:
            # Reads must still be authenticated when the disk is full.
            self._note_again_at = time.monotonic() + _NOTE_AGAIN_AFTER
            _log.warning("The last use of token %s was not saved: %s", row["name"], error)


def _readable(row: sqlite3.Row) -> LocalToken | None:
    """The token of a row; None if the row is damaged: the token is then refused."""
    try:
        return msgspec.convert(dict(row), LocalToken, strict=False)
    except (msgspec.MsgspecError, ValueError) as error:
        _log.error(
            "The stored row of the token %r cannot be read (%s). Revoke it and create another.", row["name"], error
        )
        return None


def token_digest(token: str) -> bytes:
    """The hash by which a token is stored and remembered; a token is random, so it needs no salt."""
    return hashlib.sha256(token.encode()).digest()
