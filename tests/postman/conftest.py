"""Fixtures: Keycloak, for the case with a Keycloak user."""

from tests.oidc.keycloak import keycloak

__all__ = ["keycloak"]
