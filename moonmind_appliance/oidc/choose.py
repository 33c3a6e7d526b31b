"""Chooses the verifier by the settings."""

from typing import TYPE_CHECKING

from moonmind_appliance.settings import Settings

if TYPE_CHECKING:
    # Its import loads the cryptography library: 9 MB of memory that an appliance with its own tokens saves.
    from moonmind_appliance.oidc.verifier import OidcVerifier


def verifier_of(settings: Settings) -> "OidcVerifier | None":
    """The verifier of Keycloak's tokens; None if the appliance issues its own tokens. The caller closes it."""
    if settings.auth_provider != "keycloak" or settings.oidc_issuer_url is None:
        return None
    from moonmind_appliance.oidc.verifier import OidcVerifier  # noqa: PLC0415 - see above

    return OidcVerifier(
        issuer=settings.oidc_issuer_url,
        client_id=settings.oidc_client_id,
        operator_role=settings.oidc_operator_role,
        internal_url=settings.oidc_internal_url,
        ca_file=settings.extra_ca_certs,
    )
