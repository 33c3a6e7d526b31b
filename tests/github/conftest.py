"""Fixtures: the stand-in GitHub and the product's client."""

from tests.github.stand_in import descriptions, door, stand_in

__all__ = ["descriptions", "door", "stand_in"]
