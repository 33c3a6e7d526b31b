"""Verifies access tokens of a Keycloak realm without a request to Keycloak.

An offline check cannot see that a user was disabled or logged out: such a user gets no new token, and one that was
issued stays valid until its `exp` (the realm's access token lifetime, 30 minutes as delivered).
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
from joserfc import jws
from joserfc.errors import (
    ExpiredTokenError,
    InvalidClaimError,
    JoseError,
    MissingAlgorithmError,
    MissingClaimError,
    UnsupportedKeyAlgorithmError,
)
from joserfc.jwt import JWTClaimsRegistry

from moonmind_appliance.errors import Unauthenticated
from moonmind_appliance.models import Actor, Authenticated
from moonmind_appliance.oidc.discovery import open_client
from moonmind_appliance.oidc.keys import ALGORITHMS, SigningKeys
from moonmind_appliance.oidc.status import OidcStatus
from moonmind_appliance.untrusted_json import decode

_NEW_TOKEN = "Get a new access token from Keycloak."  # noqa: S105 - a sentence
_RIGHT_TOKEN = "Send the `access_token` of Keycloak's response, complete and unchanged."  # noqa: S105 - a sentence

# In this order, so that a token of another issuer is reported as such and not as expired.
_CHECKED_CLAIMS = ("iss", "typ", "exp", "nbf", "iat")


def own_subject(sub: str) -> str:
    """The subject of a realm's user: its `sub`, which never equals the subject of one of the appliance's own tokens.

    Those begin with `local:`. A `sub` that begins so, or with the prefix itself, gets the prefix: two different ones
    stay different. Keycloak's usual ones, UUIDs, are unchanged, so their owners keep their runs.
    """
    return f"oidc:{sub}" if sub.startswith(("local:", "oidc:")) else sub


class OidcVerifier:
    """Authenticates callers by access token. Safe from several threads; one for the whole process.

    Args:
        issuer: the realm's address, exactly as in the tokens' `iss`.
        client_id: the client that tokens must be for, in `azp` or among `aud`.
        operator_role: realm role, or role of that client, that makes an operator.
        internal_url: origin by which this process reaches Keycloak, if it is not the issuer's.
        ca_file: PEM file of further certificate authorities.
        leeway_seconds: how much the clocks may differ.
        http: client for the requests, closed by the caller; None: one of its own.
        clock: seconds since the epoch, for the tokens' times.
        age_clock: seconds, for the age of the keys; they stay in use when the machine's clock is changed.
    """

    def __init__(
        self,
        *,
        issuer: str,
        client_id: str,
        operator_role: str,
        internal_url: str | None = None,
        ca_file: Path | None = None,
        leeway_seconds: int = 30,
        http: httpx.Client | None = None,
        clock: Callable[[], float] = time.time,
        age_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._operator_role = operator_role
        self._leeway = leeway_seconds
        self._own_http: httpx.Client | None = None
        if http is None:
            http = self._own_http = open_client(ca_file)
        self._keys = SigningKeys(issuer=issuer, internal_url=internal_url, http=http, clock=age_clock)
        self._signatures = jws.JWSRegistry(algorithms=ALGORITHMS)
        self._claims = JWTClaimsRegistry(
            now=lambda: int(clock()),
            leeway=leeway_seconds,
            iss={"essential": True, "value": issuer},
            typ={"essential": True, "value": "Bearer"},
            exp={"essential": True},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Idempotent."""
        if self._own_http is not None:
            self._own_http.close()

    def status(self) -> OidcStatus:
        """The state of Keycloak at the last attempt; sends no request."""
        return self._keys.status()

    def check(self, max_age: float = 0) -> OidcStatus:
        """Fetch the keys, unless the last attempt is younger than `max_age` seconds; returns the state."""
        return self._keys.check(max_age)

    def verify(self, token: str) -> Actor:
        """The actor of the token.

        Raises: as `authenticate`.
        """
        return self.authenticate(token).actor

    def authenticate(self, token: str) -> Authenticated:
        """The actor of the token, and when it expires.

        Raises:
            Unauthenticated: the token is not valid; `code` says why. The text never contains the token.
            Unavailable: `identity_provider_unreachable`, the signing key is not known and Keycloak is unavailable.
        """
        claims = self._signed_claims(token)
        self._check_claims(claims)
        self._check_audience(claims)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise _malformed("has no subject (`sub`)", hint="The realm's client needs the client scope `basic`.")
        username = claims.get("preferred_username")
        actor = Actor(
            subject=own_subject(subject),
            username=username if isinstance(username, str) and username else subject,
            operator=self._operator_role in self._roles(claims),
        )
        return Authenticated(actor, float(claims["exp"]) + self._leeway)

    def _signed_claims(self, token: str) -> dict[str, Any]:
        """The payload, after its signature was verified."""
        try:
            signed = jws.extract_compact(token.encode(), registry=self._signatures)
        except MissingAlgorithmError:
            raise _algorithm_not_allowed() from None
        except (JoseError, ValueError):
            raise _malformed("is not a signed JSON Web Token") from None
        header = signed.protected
        if not isinstance(header, dict):
            raise _malformed("has no valid header")
        if header.get("alg") not in ALGORITHMS:
            raise _algorithm_not_allowed()
        kid = header.get("kid")
        if not isinstance(kid, str) or not kid:
            raise _malformed("has no key id (`kid`)")
        key = self._keys.find(kid)
        if key is None:
            raise Unauthenticated(
                "The access token is signed with a key that the realm does not publish.",
                hint=_NEW_TOKEN,
                code="unknown_key",
            )
        try:
            good = jws.validate_compact(signed, key, registry=self._signatures)
        except UnsupportedKeyAlgorithmError:
            raise _algorithm_not_allowed() from None
        except (JoseError, ValueError):
            good = False
        if not good:
            raise Unauthenticated(
                "The access token's signature does not match its content.",
                hint=_RIGHT_TOKEN,
                code="bad_signature",
            )
        try:
            return decode(signed.payload, dict[str, Any])
        except msgspec.DecodeError:
            raise _malformed("contains no JSON object") from None

    def _check_claims(self, claims: dict[str, Any]) -> None:
        try:
            self._claims.validate({name: claims[name] for name in _CHECKED_CLAIMS if name in claims})
        except ExpiredTokenError:
            raise Unauthenticated("The access token has expired.", hint=_NEW_TOKEN, code="token_expired") from None
        except MissingClaimError as error:
            raise _malformed(f"lacks the claim {error.claim}") from None
        except InvalidClaimError as error:
            raise self._refusal(error.claim, claims[error.claim]) from None

    def _refusal(self, claim: str, value: object) -> Unauthenticated:
        if claim == "iss":
            return Unauthenticated(
                f"The access token was not issued by {self._issuer}.",
                hint="Get the token from exactly that URL.",
                code="wrong_issuer",
            )
        if claim == "typ":
            return Unauthenticated(
                "The token is not an access token; this API does not accept ID or refresh tokens.",
                hint=_RIGHT_TOKEN,
                code="wrong_token_type",
            )
        if claim in {"nbf", "iat"} and type(value) in {int, float}:
            return Unauthenticated(
                "The access token is not valid yet.",
                hint="Check that the clocks of Keycloak and of the appliance agree.",
                code="token_not_yet_valid",
            )
        return _malformed(f"has a `{claim}` that is not valid")

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if claims.get("azp") != self._client_id and self._client_id not in named:
            raise Unauthenticated(
                f"The access token is not for the client {self._client_id}.",
                hint=f"Get the token with client_id={self._client_id}, or add an audience mapper to the other client.",
                code="wrong_audience",
            )

    def _roles(self, claims: Mapping[str, Any]) -> list[Any]:
        """Realm roles and this client's roles, as Keycloak's client scope `roles` adds them to the token."""
        roles: list[Any] = []
        resources = claims.get("resource_access")
        client = resources.get(self._client_id) if isinstance(resources, dict) else None
        for place in (claims.get("realm_access"), client):
            if isinstance(place, dict) and isinstance(place.get("roles"), list):
                roles += place["roles"]
        return roles


def _malformed(what: str, *, hint: str = _RIGHT_TOKEN) -> Unauthenticated:
    return Unauthenticated(f"The access token {what}.", hint=hint, code="malformed_token")


def _algorithm_not_allowed() -> Unauthenticated:
    return Unauthenticated(
        f"The token's signing algorithm is not accepted. Accepted: {', '.join(ALGORITHMS)}.",
        hint=_RIGHT_TOKEN,
        code="algorithm_not_allowed",
    )
