"""The fixtures of the API's tests."""

from tests.api.conftest import served, shared

__all__ = ["served", "shared"]
