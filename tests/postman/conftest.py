"""Keycloak's token in one case, the appliance's own in the other."""

from tests.oidc.keycloak import keycloak

__all__ = ["keycloak"]
