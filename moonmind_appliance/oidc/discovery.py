"""Reads a realm's metadata over HTTP (OpenID Connect Discovery 1.0)."""

from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec

from moonmind_appliance.trust import trust_context
from moonmind_appliance.untrusted_json import decode

T = TypeVar("T")

LARGEST_ANSWER = 1024 * 1024
TIMEOUT = httpx.Timeout(3.0, connect=2.0)


class ProviderProblem(Exception):
    """Keycloak could not be reached or its response is not valid; the text is a sentence for people."""


class Discovery(msgspec.Struct, frozen=True):
    """The endpoints that are used here. `device_authorization_endpoint` is RFC 8628's."""

    issuer: str
    jwks_uri: str
    token_endpoint: str = ""
    device_authorization_endpoint: str = ""


def open_client(ca_file: Path | None = None) -> httpx.Client:
    """An HTTP client that trusts the public and the system's authorities, and those of `ca_file` (PEM)."""
    return httpx.Client(verify=trust_context(ca_file), timeout=TIMEOUT)


def discover(http: httpx.Client, issuer: str, internal_url: str | None = None) -> Discovery:
    """Read the realm's discovery document; with `internal_url` all of its endpoints get that origin.

    Raises:
        ProviderProblem: no answer, not a discovery document, or one of another issuer. With `internal_url` the
        document's own `issuer` is not compared: Keycloak without a fixed hostname derives it from the address
        of the request.
    """
    url = by_origin(f"{issuer}/.well-known/openid-configuration", internal_url)
    found = get_json(http, url, Discovery)
    if internal_url is None and found.issuer != issuer:
        raise ProviderProblem(
            f"Keycloak at {url} reports the issuer {found.issuer}, but OIDC_ISSUER_URL is {issuer}: make them equal, "
            "or set OIDC_INTERNAL_URL to the URL at which the appliance reaches Keycloak."
        )
    return Discovery(
        issuer=issuer,
        jwks_uri=by_origin(found.jwks_uri, internal_url),
        token_endpoint=by_origin(found.token_endpoint, internal_url),
        device_authorization_endpoint=by_origin(found.device_authorization_endpoint, internal_url),
    )


def by_origin(url: str, internal_url: str | None) -> str:
    """The address with its origin (scheme, host, port) replaced by that of `internal_url`."""
    if not internal_url or not url:
        return url
    origin = urlsplit(internal_url)
    return urlunsplit(urlsplit(url)._replace(scheme=origin.scheme, netloc=origin.netloc))


def get_json(http: httpx.Client, url: str, shape: type[T]) -> T:
    """GET a JSON document of that shape.

    Raises:
        ProviderProblem: no answer, another status than 200 (redirects are not followed), too long, or another shape.
    """
    content = bytearray()
    try:
        with http.stream("GET", url, headers={"Accept": "application/json"}) as response:
            if response.status_code != httpx.codes.OK:
                raise ProviderProblem(f"Keycloak returned {response.status_code} at {url}.")
            for data in response.iter_bytes():
                content += data
                if len(content) > LARGEST_ANSWER:
                    raise ProviderProblem(f"Keycloak's response at {url} is larger than {LARGEST_ANSWER} bytes.")
    except httpx.HTTPError as error:
        raise ProviderProblem(f"Keycloak does not respond at {url} ({reason(error)}).") from error
    try:
        return decode(bytes(content), shape)
    except msgspec.DecodeError as error:
        raise ProviderProblem(f"Keycloak's response at {url} cannot be read ({error}).") from error


def reason(error: httpx.HTTPError) -> str:
    """Why there was no answer, in a few words."""
    if isinstance(error, httpx.TimeoutException):
        return "timed out"
    return str(error) or type(error).__name__


class KeySet(msgspec.Struct, frozen=True):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, Any]]
