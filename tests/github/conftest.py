"""Fixtures: the stand-in GitHub and the product's client."""

from tests.github.app import closed, exchanges
from tests.github.stand_in import descriptions, github_client, stand_in

__all__ = ["closed", "descriptions", "exchanges", "github_client", "stand_in"]
