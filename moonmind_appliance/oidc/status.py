"""The state of the connection to Keycloak."""

import msgspec


class OidcStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the connection to Keycloak. `reachable` is the last fetch's outcome, None before the first.

    `error` is a sentence for the operator. With `keys` above 0 tokens can be verified, even if Keycloak is down.
    """

    reachable: bool | None
    keys: int
    error: str | None
