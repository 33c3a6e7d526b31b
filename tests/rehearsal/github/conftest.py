"""The stand-in GitHub, the door to it, and what GitHub says of both."""

from tests.github.stand_in import descriptions, door, stand_in

__all__ = ["descriptions", "door", "stand_in"]
