"""The stand-in GitHub and the door to it."""

from tests.github.stand_in import descriptions, door, stand_in

__all__ = ["descriptions", "door", "stand_in"]
