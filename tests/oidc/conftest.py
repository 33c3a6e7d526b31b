"""Keycloak, real and stood in."""

from tests.oidc.keycloak import keycloak

__all__ = ["keycloak"]
