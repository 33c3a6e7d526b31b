"""The stand-in GitHub, a client for it, and GitHub's OpenAPI description of both."""

from tests.github.stand_in import descriptions, github_client, stand_in

__all__ = ["descriptions", "github_client", "stand_in"]
