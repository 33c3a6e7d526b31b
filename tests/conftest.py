"""Settings that hold for all tests."""

from hypothesis import settings

from tests.parallel import pytest_collection_modifyitems, pytest_runtest_protocol

__all__ = ["pytest_collection_modifyitems", "pytest_runtest_protocol"]

# A generated example has no time limit of its own: on a busy machine it would fail by chance.
settings.register_profile("appliance", deadline=None)
settings.load_profile("appliance")
