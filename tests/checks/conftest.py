"""A world for each test."""

from tests.runs.conftest import github, world

__all__ = ["github", "world"]
