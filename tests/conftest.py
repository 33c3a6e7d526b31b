"""Settings of all tests."""

from hypothesis import settings

from tests.parallel import pytest_collection_modifyitems, pytest_make_parametrize_id, pytest_runtest_protocol

__all__ = ["pytest_collection_modifyitems", "pytest_make_parametrize_id", "pytest_runtest_protocol"]

# Generated examples have no time limit, as they would fail by chance on a busy machine.
settings.register_profile("appliance", deadline=None)
settings.load_profile("appliance")
