"""Fixtures: a real Keycloak and a stand-in."""

from tests.oidc.keycloak import keycloak

__all__ = ["keycloak"]
