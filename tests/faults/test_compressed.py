"""What the compressed week changes exists in the product."""

import importlib

from tests.faults.compressed import CONSTANTS


def test_each_constant_exists_and_is_compressed() -> None:
    """It has the same type as the product's value, and is shorter."""
    for place, value in CONSTANTS.items():
        module, _, name = place.partition(":")
        known = getattr(importlib.import_module(f"moonmind_appliance.{module}"), name)
        assert type(known) is type(value), place
        assert value < known, place
