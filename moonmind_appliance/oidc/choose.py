"""Chooses the verifier by the settings."""

from moonmind_appliance.oidc.verifier import OidcVerifier
from moonmind_appliance.settings import Settings


def verifier_of(settings: Settings) -> OidcVerifier | None:
    """The verifier of Keycloak's tokens; None if the appliance issues its own tokens. The caller closes it."""
    if settings.auth_provider != "keycloak" or settings.oidc_issuer_url is None:
        return None
    return OidcVerifier(
        issuer=settings.oidc_issuer_url,
        client_id=settings.oidc_client_id,
        operator_role=settings.oidc_operator_role,
        internal_url=settings.oidc_internal_url,
        ca_file=settings.extra_ca_certs,
    )
