"""The stand-in GitHub, the github_client to it, and what GitHub says of both."""

from tests.github.stand_in import descriptions, github_client, stand_in

__all__ = ["descriptions", "github_client", "stand_in"]
