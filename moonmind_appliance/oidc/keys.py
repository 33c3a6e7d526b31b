"""Fetches, caches and refreshes the realm's signing keys."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import httpx
from joserfc import jwk
from joserfc.errors import JoseError

from moonmind_appliance.errors import Unavailable
from moonmind_appliance.oidc.discovery import KeySet, ProviderProblem, discover, get_json
from moonmind_appliance.oidc.status import OidcStatus

# Asymmetric only: with a shared secret every verifier could also sign. EdDSA is left out: its name is deprecated
# (RFC 9864).
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")

KEYS_FRESH_SECONDS = 300
"""Age (seconds) from which keys are fetched again, so that a revoked key is dropped."""

KEYS_LONGEST_SECONDS = 3600
"""Age (seconds) from which keys are not used, even if Keycloak is unavailable: it limits the use of a revoked key."""

RETRY_SECONDS = 5
"""Shortest time (seconds) between two fetches caused by callers: by an unknown key, or while Keycloak is down."""


MOST_KEYS = 100
"""Most keys that are accepted; a realm has a few."""


class _Fetched(NamedTuple):
    by_kid: Mapping[str, jwk.Key]
    at: float


class SigningKeys:
    """The realm's signing keys, by key id. Safe from several threads; one of them fetches."""

    def __init__(
        self, *, issuer: str, internal_url: str | None, http: httpx.Client, clock: Callable[[], float]
    ) -> None:
        self._issuer = issuer
        self._internal_url = internal_url
        self._http = http
        self._clock = clock
        self._lock = threading.Lock()
        self._fetched: _Fetched | None = None
        self._attempted_at: float | None = None
        self._unknown_at: float | None = None
        self._error: str | None = None

    def find(self, kid: str) -> jwk.Key | None:
        """The key with that id, or None if the realm has no such key.

        A known key costs a dict look-up. The first caller that finds the keys too old fetches them again; meanwhile
        others continue to use the old ones. While Keycloak is unavailable the keys stay in use for an hour.

        Raises:
            Unavailable: Keycloak cannot be reached, and the key is not among those known, or was fetched too long ago.
        """
        fetched = self._usable_now()
        if fetched is None:
            with self._lock:
                if self._usable_now() is None and self._due(self._attempted_at, RETRY_SECONDS):
                    self._fetch()
        elif kid not in fetched.by_kid:
            self._look_again(kid)
        elif self._due(fetched.at, KEYS_FRESH_SECONDS) and self._lock.acquire(blocking=False):
            try:
                if self._due(self._attempted_at, RETRY_SECONDS):
                    self._fetch()
            finally:
                self._lock.release()
        fetched = self._usable_now()
        key = fetched.by_kid.get(kid) if fetched else None
        if key is None and (fetched is None or self._error is not None):
            raise Unavailable(
                "The token cannot be checked: the identity provider is unreachable.",
                code="identity_provider_unreachable",
                retry_after=RETRY_SECONDS,
                hint="Try again in a moment; if this persists, report it to the operator.",
            )
        return key

    def check(self, max_age: float = 0) -> OidcStatus:
        """Fetch now, unless the last attempt is younger than `max_age` seconds; returns the state."""
        with self._lock:
            if self._due(self._attempted_at, max_age):
                self._fetch()
        return self.status()

    def status(self) -> OidcStatus:
        """The state at the last attempt; sends no request."""
        attempted_at, error = self._attempted_at, self._error
        usable = self._usable_now()
        return OidcStatus(
            reachable=None if attempted_at is None else error is None,
            keys=len(usable.by_kid) if usable else 0,
            error=error,
        )

    def _look_again(self, kid: str) -> None:
        """Fetch, as the realm may have a new key, but not too often: callers can invent key ids."""
        with self._lock:
            known = self._fetched
            if known is not None and kid in known.by_kid:
                return
            if self._due(self._unknown_at, RETRY_SECONDS):
                self._fetch()
                self._unknown_at = self._attempted_at

    def _usable_now(self) -> _Fetched | None:
        """The keys, unless they are too old."""
        fetched = self._fetched
        return None if fetched is None or self._due(fetched.at, KEYS_LONGEST_SECONDS) else fetched

    def _due(self, last: float | None, seconds: float) -> bool:
        # Fetch also after the clock was set back.
        return last is None or not 0 <= self._clock() - last < seconds

    def _fetch(self) -> None:
        """Fetch the keys; without an answer the known keys stay. The caller has acquired the lock."""
        try:
            realm = discover(self._http, self._issuer, self._internal_url)
            by_kid = _usable(get_json(self._http, realm.jwks_uri, KeySet).keys)
        except ProviderProblem as problem:
            self._error = str(problem)
        else:
            self._fetched = _Fetched(by_kid, self._clock())
            self._error = None
        # Set at the end: a thread that waited for the lock during a slow fetch must not start another.
        self._attempted_at = self._clock()


def _usable(keys: list[dict[str, Any]]) -> dict[str, jwk.Key]:
    """Signature keys for `ALGORITHMS` by id. A key that cannot be read is skipped; the others stay usable.

    Raises:
        ProviderProblem: none is left, or there are more than `MOST_KEYS`.
    """
    if len(keys) > MOST_KEYS:
        raise ProviderProblem(f"Keycloak publishes {len(keys)} signing keys; the limit is {MOST_KEYS}.")
    by_kid: dict[str, jwk.Key] = {}
    for data in keys:
        kid = data.get("kid")
        if not isinstance(kid, str) or data.get("use", "sig") != "sig" or data.get("kty") not in {"RSA", "EC"}:
            continue
        if data.get("alg") is not None and data["alg"] not in ALGORITHMS:
            continue
        try:
            by_kid[kid] = jwk.import_key(data)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    if not by_kid:
        raise ProviderProblem("Keycloak publishes no usable signing key for the realm.")
    return by_kid
